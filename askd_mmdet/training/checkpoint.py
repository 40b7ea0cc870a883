"""Checkpoints that are read without running code, loaded whole or not at all, and never lost to a kill."""

import hashlib
import os
import re
import zipfile
from pathlib import Path
from pickle import UnpicklingError
from urllib.parse import urlparse

import mmengine.runner.checkpoint
import numpy as np
import torch
from mmengine.hooks import CheckpointHook
from mmengine.logging import HistoryBuffer
from mmengine.registry import HOOKS
from mmengine.runner import CheckpointLoader
from torch import nn

from askd_mmdet.training.files import first_names
from askd_mmdet.training.settings import check_type


def _statistics_method(owner: type, name: str):
    """The one use of `getattr` in MMEngine's checkpoints: the methods of its log buffers."""
    if owner is not HistoryBuffer or name not in ('mean', 'max', 'min', 'current'):
        raise UnpicklingError(f'refused: getattr({owner!r}, {name!r})')
    return getattr(owner, name)


# What the checkpoints of MMEngine hold beside tensors: the buffers of the log and numpy scalars. MMEngine itself admits
# plain `getattr`, with which a pickle could reach any object.
_TRUSTED = [
    HistoryBuffer,
    (_statistics_method, 'builtins.getattr'),
    np.ndarray,
    np.dtype,
    *(type(np.dtype(name)) for name in ('bool', 'uint8', 'uint32', 'int32', 'int64', 'float16', 'float32', 'float64')),
    # Numpy 1 writes the modules' names without the underscore.
    *(
        (getattr(np._core.multiarray, name), f'numpy.{core}.multiarray.{name}')
        for name in ('_reconstruct', 'scalar')
        for core in ('core', '_core')
    ),
]


def read_checkpoint(path: str | Path, map_location='cpu') -> dict:
    """Read a checkpoint file of MMEngine or a bare state dict, as data only.

    Every part of a file has a checksum, which is verified first: a damaged file is never read. The format from before
    torch 1.6 has none, so that nothing can tell a changed weight in such a file.

    Raises:
        FileNotFoundError: When there is no such file.
        ValueError: When the file is damaged, no checkpoint, or asks to run code, or its `state_dict` holds anything but
            finite tensors.
    """
    check_type('read_checkpoint', 'path', path, str, Path)
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f'no checkpoint at {path}; check the path (work_dirs/ is relative to {Path.cwd()})')
    # Without checksums a damaged type of numpy data could have it follow numbers as pointers.
    trusted = _TRUSTED if _verify_checksums(path) else []
    try:
        with torch.serialization.safe_globals(trusted):
            checkpoint = torch.load(path, map_location=map_location, weights_only=True)
    except Exception as error:  # damaged pickles raise whatever they happen to run into
        reason = str(error).split('WeightsUnpickler error: ')[-1].strip() or type(error).__name__
        raise ValueError(
            f'{path} is not a checkpoint that can be read safely: it is damaged, or holds objects other than tensors '
            f'and plain data ({reason.splitlines()[0]}). Save it again as a plain state dict where you trust it'
        ) from error
    if not isinstance(checkpoint, dict):
        raise ValueError(f'{path} holds a {type(checkpoint).__name__}, expected a dict of weights')
    if 'state_dict' in checkpoint:
        weights_of(checkpoint, path)
    return checkpoint


def _verify_checksums(path):
    """Whether a file has checksums; raise ValueError when one of them is wrong."""
    with path.open('rb') as file:
        if file.read(4) != b'PK\3\4':
            return False
    try:
        with zipfile.ZipFile(path) as archive:
            # For a weight that is marked as a folder torch hands out memory that nothing was written to.
            folders = (info.filename for info in archive.infolist() if info.external_attr & 0x10)
            if wrong := archive.testzip() or next(folders, None):
                raise ValueError(f'in its part {wrong}')
    except Exception as error:  # damaged archives raise whatever they happen to run into
        raise ValueError(f'{path} is damaged ({error}); delete it, then copy or download it again') from error
    return True


def weights_of(checkpoint: dict, source: str | Path = 'the checkpoint') -> dict[str, torch.Tensor]:
    """The weights in a checkpoint, without the prefix that DDP puts before the names.

    Args:
        checkpoint: With a `state_dict`, or itself one.
        source: Where it comes from, for messages.

    Raises:
        ValueError: When there is anything but tensors of finite numbers by name.
    """
    weights = checkpoint.get('state_dict', checkpoint)
    if not isinstance(weights, dict):
        raise ValueError(f"{source}: found a 'state_dict' that is {type(weights).__name__}, expected a dict of weights")
    for name, value in weights.items():
        if not isinstance(name, str) or not _is_weight(value):
            kind = f'{value.layout} {value.dtype}' if isinstance(value, torch.Tensor) else type(value).__name__
            raise ValueError(f'{source}: found {name!r}, {kind}, among the weights, expected names and dense tensors')
    if bad := [name for name, value in weights.items() if not value.isfinite().all()]:
        raise ValueError(
            f'{source}: {len(bad)} weights are not finite: {first_names(bad)}; '
            'training had diverged when it was written, so take an earlier checkpoint'
        )
    return {name.removeprefix('module.'): value for name, value in weights.items()}


def _is_weight(value):
    """Whether a value is a tensor that a network here could have, and that torch can look through for NaN."""
    if not isinstance(value, torch.Tensor) or value.layout != torch.strided:
        return False
    one_byte_float = value.is_floating_point() and value.element_size() == 1
    return not (value.is_quantized or value.is_meta or value.is_complex() or one_byte_float)


def check_weights(model: nn.Module, weights: dict[str, torch.Tensor], path: str | Path) -> None:
    """Make sure that weights fit a model exactly, before any of them is loaded.

    Raises:
        ValueError: Lists names that the file lacks, names that the model lacks, and differing shapes.
    """
    own = model.state_dict()
    # A counter that older files lack and that no forward pass in eval mode reads.
    missing = [name for name in own if name not in weights and not name.endswith('num_batches_tracked')]
    unexpected = [name for name in weights if name not in own]
    misfits = [
        f'{name} {tuple(weights[name].shape)}, expected {tuple(own[name].shape)}'
        for name in own
        if name in weights and own[name].shape != weights[name].shape
    ]
    problems = [
        f'{len(names)} {what}: {first_names(names)}'
        for what, names in (
            ('weights missing in the file', missing),
            ('weights unknown to the model', unexpected),
            ('weights of another shape', misfits),
        )
        if names
    ]
    if problems:
        raise ValueError(
            f'{path} does not fit {type(model).__name__}, nothing was loaded. {"; ".join(problems)}. '
            'Use the checkpoint with the config it was trained with'
        )


def load_weights(model: nn.Module, path: str | Path) -> None:
    """Load the weights of a checkpoint, a file or a URL, into a model: all of them, or none.

    Raises:
        FileNotFoundError, ValueError: See :func:`read_checkpoint`, :func:`weights_of` and :func:`check_weights`.
    """
    weights = weights_of(read_checkpoint(local_file(path)), path)
    check_weights(model, weights, path)
    model.load_state_dict(weights, strict=False)


def load_from_local(filename: str, map_location=None) -> dict:
    """:func:`read_checkpoint` under the name that MMEngine's log makes a sentence of."""
    return read_checkpoint(filename, map_location)


def load_url(url: str, model_dir: str | None = None, map_location='cpu', progress: bool = True) -> dict:
    """Download a checkpoint, unless it is there, and :func:`read_checkpoint` it; takes the place of torch.hub's."""
    return read_checkpoint(_download(url, model_dir, progress), map_location)


def is_url(source: str | Path) -> bool:
    """Whether a checkpoint is named by a URL."""
    return urlparse(str(source)).scheme in ('http', 'https')


def local_file(source: str | Path) -> Path:
    """The file of a checkpoint: a path, in which ~ is the home, or what is downloaded from a URL."""
    return _download(source) if is_url(source) else Path(source).expanduser()


def _download(url: str, folder: str | None = None, progress: bool = True) -> Path:
    path = Path(folder or Path(torch.hub.get_dir(), 'checkpoints'), Path(urlparse(url).path).name)
    if not re.search(r'-[0-9a-f]{8,}\.', path.name):  # another file may have this name, as epoch_20.pth
        path = path.parent / hashlib.sha256(url.encode()).hexdigest()[:8] / path.name
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(url, str(path), progress=progress)
        except OSError as error:
            raise OSError(
                f'cannot download {url} ({error}): put the file there yourself, as {path}, or, where they are weights '
                'to start from, train from random values: --cfg-options model.backbone.init_cfg=None'
            ) from error
    return path


def use_safe_loading() -> None:
    """Have MMEngine read every file, downloads too, by :func:`read_checkpoint`, or at least as data only."""
    os.environ['TORCH_FORCE_WEIGHTS_ONLY_LOAD'] = '1'
    CheckpointLoader.register_scheme('', loader=load_from_local, force=True)
    # What all its schemes for downloads (https://, torchvision://, open-mmlab://, mmcls://) end in.
    mmengine.runner.checkpoint.load_url = load_url


class _LateRemoval:
    """A file backend that removes files only once told that their successor is written."""

    def __init__(self, backend):
        self.backend = backend
        self.outdated = []

    def __getattr__(self, name):
        return getattr(self.backend, name)

    def remove(self, path: str) -> None:
        self.outdated.append(path)

    def flush(self, keep: set) -> None:
        for path in self.outdated:
            if path not in keep:
                self.backend.remove(path)
        self.outdated = []


@HOOKS.register_module()
class CrashSafeCheckpointHook(CheckpointHook):
    """MMEngine's CheckpointHook that removes an old checkpoint after, not before, the new one is on the disk."""

    def before_train(self, runner) -> None:
        super().before_train(runner)
        self.file_backend = _LateRemoval(self.file_backend)

    def _save_checkpoint_with_step(self, runner, step, meta):
        super()._save_checkpoint_with_step(runner, step, meta)
        self._remove_outdated()

    def _save_best_checkpoint(self, runner, metrics):
        super()._save_best_checkpoint(runner, metrics)
        self._remove_outdated()

    def _remove_outdated(self):
        best = getattr(self, 'best_ckpt_path_dict', {'': getattr(self, 'best_ckpt_path', None)})
        self.file_backend.flush(keep={self.last_ckpt, *best.values()})
