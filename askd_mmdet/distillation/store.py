"""What a frozen teacher puts out for every picture of a training, on disk: computed once, for all its students."""

import copy
import hashlib
import json
import math
import shutil
from collections.abc import Callable, Sequence
from functools import cached_property
from itertools import product
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.device import get_device
from mmengine.logging import print_log
from mmengine.utils import track_iter_progress
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from askd_mmdet.degradation.pipelines import pipelined
from askd_mmdet.degradation.transform import LowResolution, walk
from askd_mmdet.distillation.teacher import Teacher
from askd_mmdet.training.checkpoint import local_file
from askd_mmdet.training.config import type_name
from askd_mmdet.training.files import part_of, replace_text
from askd_mmdet.training.seed import preserved_random_state

# Pictures of a file: of IR-50 at 112x112 84 MB, with both flips.
_PICTURES = 1024
# Of which two passes through the pipeline are compared.
_COMPARED = 32
# That the teacher sees at once.
_BATCH = 64
_LARGEST = torch.finfo(torch.float16).max


class StoredTeacher:
    """The outputs of a teacher's taps for all pictures of a data set and their mirror images, in float16.

    For trainings whose only random step, if any, is one `RandomFlip` or `RandomMirror`, as in face recognition.
    `made_of.json` in the folder names what the outputs were computed from; files of 1,024 pictures beside it hold them
    and are mapped into memory. Any number of processes, of one training or of several, compute at once what is missing,
    and a computation that was interrupted goes on.

    Args:
        folder: Of the store; made where it is missing.
        dataset: Of the training, built; :class:`RepeatDataset` and the like around it do not matter.
        made_of: What the outputs depend on beside the pictures: a text by its name, for messages.
        build_teacher: Called only where outputs are missing, or the network is asked for.
        workers: Processes that load pictures.

    Raises:
        ValueError: When the store was computed from something else or is damaged, the pipeline draws more than one
            flip or makes no HR images, an output does not fit float16, or the disk has no room.

    Attributes:
        matched: How many modules each pattern matches in the teacher.
    """

    def __init__(
        self,
        folder: Path,
        dataset: Dataset,
        made_of: dict[str, str],
        build_teacher: Callable[[], Teacher],
        workers: int = 0,
    ):
        self.folder = folder
        self.build_teacher = build_teacher
        self.workers = workers
        self.dataset = _innermost(dataset)
        self.flips = bool(_flips(self.dataset.pipeline))
        pictures = len(self.dataset)
        self.files = [_file(folder, start) for start in range(0, pictures, _PICTURES)]
        made_of = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in made_of.items()}
        print_log(f'looking at the pictures that the store in {folder} should be of', 'current')
        made_of |= dict(pictures=_pictures_hash(self.dataset))
        with preserved_random_state():
            self._complete(made_of)
        self.chunks = [self._open(file, min(_PICTURES, pictures - int(file.stem))) for file in self.files]

    @cached_property
    def model(self) -> nn.Module:
        """The network itself, for those that show it other pictures than the training's."""
        return self.build_teacher().tested

    def _complete(self, made_of):
        note = self.folder / 'made_of.json'
        known = self._read_note(note, made_of) if note.is_file() else None
        if known and all(file.is_file() for file in self.files):
            return
        teacher = self.build_teacher()
        pictures = _Pictures(self.dataset)
        if not known:
            pictures.compare_passes()
            first = next(there for i in range(len(self.dataset)) if (there := pictures[i, 0][2]) is not None)
            counts = teacher.counts([first])
            outputs = teacher.see([first], counts)
            shapes = {kind: [tuple(output.shape[1:]) for output in found] for kind, found in outputs.items()}
            known = dict(made_of=made_of, matched=teacher.matched, shapes=shapes)
            self._learn(known)
            self._check_room()
            replace_text(note, json.dumps(known, indent=1))
        # In an order of its own, from no seed: no process waits for another, and hardly any does what another does.
        order = np.random.default_rng().permutation(len(self.files))
        print_log("computing the teacher's outputs", 'current')
        self._compute([self.files[i] for i in order], pictures, teacher)

    def _read_note(self, note, made_of):
        try:
            known = json.loads(note.read_text())
            self._learn(known)
            differing = [name for name in made_of if known['made_of'].get(name) != made_of[name]]
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"found no description of a teacher's outputs in {note} ({type(error).__name__}: {error}); delete the "
                'folder, and they are computed anew'
            ) from error
        if differing:
            raise ValueError(
                f"the teacher's outputs in {self.folder} were computed from other {' and '.join(differing)} than this "
                'training has; name another folder by DistillationHook(store=...), or delete this one, and they are '
                'computed anew'
            )
        return known

    def _learn(self, known):
        self.matched = known['matched']
        self.shapes = {kind: [tuple(shape) for shape in shapes] for kind, shapes in known['shapes'].items()}
        self.counts = {kind: len(shapes) for kind, shapes in self.shapes.items()}
        self.sizes = [math.prod(shape) for shapes in self.shapes.values() for shape in shapes]

    def _check_room(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        needed, free = 2 * 2 * sum(self.sizes) * len(self.dataset), shutil.disk_usage(self.folder).free
        if needed > free:
            raise ValueError(
                f"the teacher's outputs for {len(self.dataset):,} pictures and their mirror images take "
                f'{needed / 1e9:.1f} GB, and {self.folder} has {free / 1e9:.1f} GB of room; name another folder by '
                'DistillationHook(store=...), or train without a store'
            )
        print_log(f"The teacher's outputs are kept in {self.folder} ({needed / 1e9:.1f} GB).", 'current')

    def _compute(self, files, pictures, teacher):
        batches = _Batches(files, len(self.dataset))
        loader = DataLoader(pictures, batch_sampler=batches, num_workers=self.workers, collate_fn=list)
        for batch in track_iter_progress((loader, sum(1 for _ in batches))):
            start = batch[0][0] // _PICTURES * _PICTURES
            if batch[0][:2] == (start, 0):
                indices = range(start, min(start + _PICTURES, len(self.dataset)))
                # A picture that cannot be read has no outputs: training, which replaces it, asks for none.
                rows = np.full((len(indices), 2, sum(self.sizes)), np.nan, np.float16)
            there = [item for item in batch if item[2] is not None]
            if there:
                places, flips, found = zip(*there)
                rows[np.array(places) - start, flips] = self._flat(teacher.see(found, self.counts), len(there))
            if batch[-1][:2] == (indices[-1], 1):
                with part_of(_file(self.folder, start)) as part, part.open('wb') as stream:
                    np.save(stream, rows)

    def _flat(self, outputs, pictures):
        found = [output.float().reshape(pictures, -1) for kind in self.shapes for output in outputs[kind]]
        flat = torch.cat(found, 1)
        if not (flat.abs() <= _LARGEST).all():
            raise ValueError(
                f'the teacher puts out numbers beyond {_LARGEST:.0f}, or NaN, which a store in float16 cannot hold; '
                'train without DistillationHook(store=...)'
            )
        return flat.half().cpu().numpy()

    def _open(self, file, pictures):
        expected = (pictures, 2, sum(self.sizes))
        try:
            rows = np.load(file, mmap_mode='r')
            if rows.shape != expected or rows.dtype != np.float16:
                raise ValueError(f'it holds {rows.dtype} of shape {rows.shape}, expected float16 of {expected}')
        except (EOFError, ValueError) as error:
            raise ValueError(
                f"cannot read a teacher's outputs from {file}: {error}; delete it and start anew"
            ) from error
        return rows

    def see(self, data_samples: Sequence, counts: dict[str, int]) -> dict[str, list[Tensor]]:
        """What the teacher's taps put out for a batch, by kind, in float32.

        Args:
            data_samples: Of the batch, with `sample_idx` in their metainfo, and `flip` where the pipeline has one.
            counts: How many outputs of each kind the student has.

        Raises:
            ValueError: When the student has other numbers of outputs, or the samples do not say which they are.
        """
        if counts != self.counts:
            raise ValueError(
                f'the taps do not fire equally often: {self.counts} outputs of the teacher stand against {counts} of '
                'the student; the patterns must pick the same layers in both networks'
            )
        try:
            # Without a flip in the pipeline nobody packs one.
            places = [
                (sample.metainfo['sample_idx'], int(sample.metainfo['flip']) if self.flips else 0)
                for sample in data_samples
            ]
        except KeyError as error:
            raise ValueError(
                f"the batch does not say which pictures it holds: its samples have no {error}; add 'sample_idx' and "
                "'flip' to the meta_keys of the transform that packs them, or train without DistillationHook(store=...)"
            ) from error
        rows = np.stack([self.chunks[i // _PICTURES][i % _PICTURES, flip] for i, flip in places])
        parts = iter(torch.from_numpy(rows).to(get_device()).float().split(self.sizes, 1))
        return {
            kind: [next(parts).reshape(len(places), *shape) for shape in shapes] for kind, shapes in self.shapes.items()
        }


def made_of(
    teacher: Config, checkpoint: str | Path, patterns: dict[str, str], dtype: torch.dtype, pipeline: list
) -> dict:
    """What a teacher's outputs depend on beside the pictures: a text by its name, as :class:`StoredTeacher` takes it.

    The degradation is no part of it, so students of all ratios share a store.

    Args:
        teacher: Its config, with `model`.
        checkpoint: The file or URL of its weights.
        patterns: See :class:`Taps`.
        dtype: Of its convolutions.
        pipeline: The transforms of the training, as configs.
    """
    network = [teacher.model, teacher.get('data_preprocessor'), dtype]
    return {
        'network': json.dumps(network, sort_keys=True, default=str),
        'weights': hashlib.sha256(local_file(checkpoint).read_bytes()).hexdigest(),
        'taps': json.dumps(patterns),
        'pipeline': json.dumps(list(_without_degradation(pipeline)), sort_keys=True, default=str),
    }


def _without_degradation(pipeline):
    for step in pipeline:
        yield from _without_degradation(step['transforms']) if type_name(step) == 'LowResolution' else [step]


def _file(folder, start):
    return folder / f'{start:09}.npy'


class _Pictures(Dataset):
    """The HR images of a training, by number and by whether its flip happens."""

    def __init__(self, dataset: BaseDataset):
        self.dataset = dataset
        self.pipelines = [self._fixed(flip) for flip in (0, 1)]

    def _fixed(self, flip):
        pipeline = copy.deepcopy(self.dataset.pipeline)
        steps = _flips(pipeline)
        if len(steps) > 1 or any(not isinstance(step.direction, str) for step in steps):
            raise ValueError(
                "a teacher's outputs can be stored for one RandomFlip in one direction; train without "
                'DistillationHook(store=...)'
            )
        for step in steps:
            step.prob = float(flip)
        degrading = [step for step in walk(pipeline) if isinstance(step, LowResolution)]
        if not degrading:
            raise ValueError(
                'the training has no HR images whose outputs could be stored: add dict(type="LowResolutionHook", '
                'ratio=...) to custom_hooks, or LowResolution(...) to the train pipeline'
            )
        for step in degrading:
            step.keep_hr = True
        return pipeline

    def __getitem__(self, place: tuple[int, int]) -> tuple[int, int, Tensor | None]:
        """Number, flip and picture, None instead of one that cannot be read."""
        sample = self.pipelines[place[1]](self.dataset.get_data_info(place[0]))
        return *place, None if sample is None else sample['hr_inputs']

    def compare_passes(self) -> None:
        """Refuse a pipeline that draws more than the flip: the outputs of one pass would not be those of the next."""
        for place in product(range(min(_COMPARED, len(self.dataset))), (0, 1)):
            first, second = self[place][2], self[place][2]
            if first is not None and not torch.equal(first, second):
                names = [type(step).__name__ for step in self.dataset.pipeline.transforms]
                raise ValueError(
                    f"a teacher's outputs can be stored where a picture is flipped at random and nothing more, but "
                    f'two passes through {names} made two pictures of it; train without DistillationHook(store=...)'
                )


class _Batches:
    """The places of what is missing in a store, looked for anew while the loader asks: others compute as well."""

    def __init__(self, files: list[Path], pictures: int):
        self.files = files
        self.pictures = pictures

    def __iter__(self):
        for file in self.files:
            if not file.is_file():
                start = int(file.stem)
                end = min(start + _PICTURES, self.pictures)
                for flip, first in product((0, 1), range(start, end, _BATCH)):
                    yield [(i, flip) for i in range(first, min(first + _BATCH, end))]


def _innermost(dataset):
    found = list(pipelined(dataset))
    if len(found) != 1 or not isinstance(found[0], BaseDataset):
        raise ValueError(
            f"a teacher's outputs can be stored for one data set that numbers its pictures, as MMEngine's BaseDataset "
            f'does, found {[type(part).__name__ for part in found]}; train without DistillationHook(store=...)'
        )
    return found[0]


def _flips(pipeline):
    return [step for step in walk(pipeline) if type(step).__name__ in ('RandomFlip', 'RandomMirror')]


def _pictures_hash(dataset):
    """Of what the data set knows of its pictures, and of the sizes of their files in bytes, wherever they lie."""
    digest = hashlib.sha256()
    for i in range(len(dataset)):
        info = dataset.get_data_info(i)
        for name, value in sorted(info.items()):
            if isinstance(value, np.ndarray):
                value = value.tobytes()
            elif name == 'img_path':
                value = '/'.join(Path(value).parts[-2:])
            digest.update(name.encode())
            digest.update(value if isinstance(value, bytes) else repr(value).encode())
        path = Path(str(info.get('img_path', '')))
        digest.update(str(path.stat().st_size if path.is_file() else -1).encode())
    return digest.hexdigest()
