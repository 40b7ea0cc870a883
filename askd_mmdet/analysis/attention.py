"""Fig. 4: where trained networks look, on HR-LR pairs of pictures, as maps, correlations and drawings."""

import copy
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import cv2
import numpy as np
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import DATASETS, HOOKS, MODELS, DefaultScope
from torch import Tensor

from askd_mmdet.analysis.correlation import Correlation
from askd_mmdet.analysis.plots import COLOUR_SCALE
from askd_mmdet.degradation import LowResolutionHook
from askd_mmdet.degradation.pipelines import degradation_hooks, degradations, pipeline_of
from askd_mmdet.distillation.maps import (
    AttentionMaps,
    Maps,
    attention_taps,
    equal_batches,
    last_blocks,
    loss_taps,
    paired,
    stages,
)
from askd_mmdet.openmmlab import load
from askd_mmdet.training import build_model, load_weights
from askd_mmdet.training.config import load_config, type_name
from askd_mmdet.training.inference import cannot_read, set_up
from askd_mmdet.training.launch import distillation_of
from askd_mmdet.training.pictures import PICTURES, find_pictures
from askd_mmdet.training.settings import check_number

__all__ = [
    'AttentionDrawings',
    'Pair',
    'PicturePairs',
    'WatchedNetwork',
    'correlate',
    'draw_attention',
    'last_blocks',
    'shared_taps',
    'stages',
    'teacher_of',
]


class WatchedNetwork:
    """A trained network of any task, which says where it looks.

    Args:
        cfg: Of the experiment: `askd_mmdet::...`, a file, or a Config.
        checkpoint: The weights, which must fit the model: a path or a URL.
        device: A device of torch; by default a GPU where there is one.
        taps: For each kind of map ('spatial', 'channel') the pattern of the modules that put out the raw maps (logits);
            by default those of the config's AttentionSimilarityLoss, else of CBAM, as far as the network has them.
        label: What it is called in messages and figures.

    Raises:
        FileNotFoundError: When config or checkpoint is missing.
        ValueError: When the checkpoint is damaged or does not fit, see :func:`load_weights`, a pattern matches no
            module, the network has no attention maps, or torch has no such device.
    """

    def __init__(
        self,
        cfg: str | Path | Config,
        checkpoint: str | Path,
        device: str | None = None,
        taps: dict[str, str] | None = None,
        label: str = 'network',
    ):
        self.cfg = _config(cfg)
        self.label = label
        model = build_model(self.cfg)
        load_weights(model, checkpoint)
        set_up(model, device)
        self.taps = taps or attention_taps(model, _losses(self.cfg))
        if not self.taps:
            raise ValueError(
                f'{self.cfg.filename or "the config"}: the {type(model).__name__} has no module *.spatial_attention or '
                '*.channel_attention; name those that put out its raw maps in taps, or take a network with CBAM'
            )
        self.maps: Callable[[list[Tensor]], Maps] = AttentionMaps(model, self.taps, label)


def teacher_of(
    cfg: str | Path | Config, device: str | None = None, label: str = 'teacher', taps: dict[str, str] | None = None
) -> WatchedNetwork | None:
    """The teacher of a student's config, as its DistillationHook names it; None for a config without one.

    Args:
        cfg: The student's.
        device, label: See :class:`WatchedNetwork`.
        taps: See there; by default those of the student's AttentionSimilarityLoss.

    Raises:
        FileNotFoundError, ValueError: See :class:`WatchedNetwork`.
    """
    cfg = _config(cfg)
    if (hook := distillation_of(cfg)) is None:
        return None
    named = isinstance(hook.teacher, (str, Path))
    teacher = load_config(hook.teacher, cfg.filename) if named else Config(hook.teacher.to_dict())
    return WatchedNetwork(teacher, hook.checkpoint, device, taps or loss_taps(_losses(cfg)), label)


def shared_taps(cfgs: Sequence[Config]) -> dict[str, str]:
    """What networks of one kind can all be watched at, whatever their losses compare.

    Args:
        cfgs: Of their trainings.

    Returns:
        The maps of CBAM where the first network has it, else those of the first AttentionSimilarityLoss; may be empty.
    """
    known = attention_taps(build_model(_config(cfgs[0])))
    return known or next(filter(None, (loss_taps(_losses(_config(cfg))) for cfg in cfgs)), {})


def _losses(cfg):
    """The losses with which a config's network is distilled."""
    hook = distillation_of(cfg)
    return [MODELS.build(loss) for loss in hook.losses.values()] if hook else []


class Pair(NamedTuple):
    """A picture in HR and LR, at one size, as networks see it.

    Attributes:
        name: Of its file.
        inputs: LR, packed, (C, H, W), BGR in [0, 255], before the data preprocessor.
        hr_inputs: HR, likewise.
    """

    name: str
    inputs: Tensor
    hr_inputs: Tensor

    @property
    def lr(self) -> np.ndarray:
        """BGR, uint8 (H, W, 3)."""
        return _picture(self.inputs)

    @property
    def hr(self) -> np.ndarray:
        """BGR, uint8 (H, W, 3)."""
        return _picture(self.hr_inputs)


def _picture(packed):
    return np.ascontiguousarray(packed.permute(1, 2, 0).numpy().round().clip(0, 255).astype(np.uint8))


class PicturePairs:
    """HR-LR pairs, made by a config's own test pipeline from its test set, or from any folder of pictures.

    It reads pictures while it is iterated over, one at a time, and can be so more than once.

    Args:
        cfg: Of the experiment: `askd_mmdet::...`, a file, or a Config.
        count: How many pictures, drawn at random; None for all.
        seed: The same seed draws the same pictures.
        pictures: A folder to take pictures from instead of the test set, at any depth.
        ratio: HR size over LR size, above 1; by default as the config's test degrades.

    Attributes:
        unreadable: Names of those that could not be read when it was last iterated over; they are passed over.

    Raises:
        FileNotFoundError: When there is no picture.
        ValueError: For a setting out of range, a config without test set, or one whose test degrades nothing where no
            ratio is given; while iterating, when no picture can be read.
    """

    def __init__(
        self,
        cfg: str | Path | Config,
        count: int | None = None,
        seed: int = 0,
        pictures: str | Path | None = None,
        ratio: float | None = None,
    ):
        if count is not None:
            check_number('PicturePairs', 'count', count, whole=True, at_least=1)
        check_number('PicturePairs', 'seed', seed, whole=True, at_least=0)
        if ratio is not None:
            check_number('PicturePairs', 'ratio', ratio, above=1)
        cfg = _config(cfg)
        name = cfg.filename or 'the config'
        if 'test_dataloader' not in cfg:
            raise ValueError(f'{name}: expected a test_dataloader, whose pipeline prepares the pictures')
        with DefaultScope.overwrite_default_scope(cfg.get('default_scope')):
            self.pipeline = _pair_pipeline(cfg, name, ratio)
            if pictures is None:
                dataset = DATASETS.build(cfg.test_dataloader.dataset)
                self._infos, total = dataset.get_data_info, len(dataset)
            else:
                found = find_pictures(pictures)
                total = len(found)
                self._infos = lambda i: dict(img_path=str(Path(pictures, found[i])), img_id=i)
        if not total:
            raise FileNotFoundError(f'{pictures or name} holds no picture ({", ".join(PICTURES)})')
        drawn = np.random.default_rng(seed).permutation(total)[:count]
        self._indices = np.sort(drawn).tolist()
        self.unreadable = []

    def __len__(self) -> int:
        """How many pictures there are, readable or not."""
        return len(self._indices)

    def __iter__(self) -> Iterator[Pair]:
        self.unreadable = []
        for i in self._indices:
            info = self._infos(i)
            name = Path(str(info.get('img_path', i))).name
            if (sample := self.pipeline(info)) is None:
                self.unreadable.append(name)
            else:
                yield Pair(name, sample['inputs'], sample['hr_inputs'])
        if len(self.unreadable) == len(self):
            raise cannot_read(self.unreadable, len(self))


def _pair_pipeline(cfg, name, ratio):
    """From a picture, be it a file or an array, to the packed pair; None for one that cannot be read."""
    loads, steps = [], []
    for step in pipeline_of(cfg.test_dataloader.dataset):
        (loads if type_name(step).startswith('Load') else steps).append(copy.deepcopy(step))
    to_float32 = any(step.get('to_float32', False) for step in loads)
    pipeline = Compose([dict(type='LoadPicture', to_float32=to_float32), *steps])
    made = SimpleNamespace(pipeline=pipeline)
    hooks = degradation_hooks(cfg)
    if not degradations(made):
        if ratio is not None and not hooks:
            LowResolutionHook(ratio).degrade_test(made)
        for hook in hooks:
            HOOKS.build(hook).degrade_test(made)
    for step in degradations(made):
        step.keep_hr, step.keep_mirrored = True, False
        if ratio is not None:
            step.ratios, step.size = [ratio], None
    if not any(step.degrades for step in degradations(made)):
        raise ValueError(f'{name}: its test degrades nothing, so that HR and LR would be one; give a ratio')
    return pipeline


def correlate(
    teacher: WatchedNetwork,
    student: WatchedNetwork,
    pairs: Iterable[Pair],
    progress: Callable[[Iterable[Pair]], Iterable[Pair]] = iter,
    batch_size: int = 1,
) -> dict[str, dict[str, Correlation]]:
    """Correlate the maps of a teacher that sees HR with those of a student that sees LR, in constant memory.

    Args:
        teacher, student: The networks.
        pairs: See :class:`PicturePairs`.
        progress: What to pass the pairs through, such as `partial(track, what='correlating')`.
        batch_size: Neighbours of one size that pass the networks together.

    Returns:
        By kind, then by name of the tap in the student, in running order; :func:`stages` finds the last blocks.

    Raises:
        ValueError: When the maps differ in number or in shape; says where.
    """
    check_number('correlate', 'batch_size', batch_size, whole=True, at_least=1)
    found = defaultdict(lambda: defaultdict(Correlation))
    for batch in equal_batches(progress(pairs), lambda pair: pair.inputs.shape, batch_size):
        seen = student.maps([pair.inputs for pair in batch])
        wanted = teacher.maps([pair.hr_inputs for pair in batch])
        for kind, tap, ours, theirs in paired(seen, wanted):
            found[kind][tap].update(ours, theirs)
    return {kind: dict(taps) for kind, taps in found.items()}


class AttentionDrawings(NamedTuple):
    """Spatial maps of several networks as pictures of one colour scale.

    Attributes:
        over: For each network its map over the picture, BGR uint8 (H, W, 3).
        alone: The map alone, likewise.
        limits: The numbers that the first and the last colour of `COLOUR_SCALE` stand for.
    """

    over: dict[str, np.ndarray]
    alone: dict[str, np.ndarray]
    limits: tuple[float, float]


def draw_attention(picture: np.ndarray, maps: dict, limits: tuple[float, float] | None = None) -> AttentionDrawings:
    """Draw the spatial maps that several networks made of a picture.

    Args:
        picture: What lies below the maps, BGR uint8 (H, W, 3): `pair.hr`, which shows best what they lie on.
        maps: By network a spatial map, array or tensor (h, w), with any axes of length 1 before.
        limits: Of the colour scale; by default the 1st and the 99th percentile of all maps, since at the border of the
            picture a few numbers lie far from all others. What lies beyond has the first or the last colour.

    Raises:
        ValueError: For a map with other axes, as those of channels have, or no map.
    """
    import matplotlib

    if not maps:
        raise ValueError('found no map to draw, expected one of each network')
    arrays = {label: _spatial(label, map) for label, map in maps.items()}
    if limits is None:
        limits = np.percentile(np.concatenate([array.ravel() for array in arrays.values()]), [1, 99])
    low, high = map(float, limits)
    colours = np.uint8(matplotlib.colormaps[COLOUR_SCALE](np.arange(256))[:, 2::-1] * 255 + 0.5)
    grey = cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    over, alone = {}, {}
    for label, array in arrays.items():
        share = ((array - low) / ((high - low) or 1)).clip(0, 1)
        # Smooth, and a cell of the map too wide at most where the network padded the picture.
        large = cv2.resize(share, picture.shape[1::-1], interpolation=cv2.INTER_LINEAR)
        alone[label] = colours[np.uint8(large * 255 + 0.5)]
        over[label] = cv2.addWeighted(grey, 0.45, alone[label], 0.55, 0)
    return AttentionDrawings(over, alone, (low, high))


def _spatial(label, map):
    array = np.float32(map.detach().cpu() if isinstance(map, Tensor) else map)
    if array.ndim < 2 or array.size != np.prod(array.shape[-2:]) or array.size == 1:
        raise ValueError(
            f'{label}: found a map {array.shape}, expected a spatial one of one picture (1, 1, h, w): channels have no '
            'place in the picture'
        )
    return array.reshape(array.shape[-2:])


def _config(cfg):
    """A config of any task, whose library is imported."""
    cfg = cfg if isinstance(cfg, Config) else load_config(cfg)
    if (scope := cfg.get('default_scope')) in ('mmdet', 'mmpretrain'):
        load(scope)
    return cfg
