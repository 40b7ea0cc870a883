"""The attention maps of a network by name, the last block of each of its stages, and how two networks' maps pair up."""

import math
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator
from fnmatch import filter as match
from itertools import groupby, islice, takewhile
from typing import TypeVar

import torch
from torch import Tensor, nn

from askd_mmdet.distillation.losses.attention_similarity import AttentionSimilarityLoss
from askd_mmdet.distillation.losses.base import DistillationLoss
from askd_mmdet.distillation.taps import Taps
from askd_mmdet.training.files import first_names

Item = TypeVar('Item')
Maps = dict[str, dict[str, Tensor]]  # by kind ('spatial', 'channel') and name


class AttentionMaps:
    """Says where a network looks.

    Args:
        model: Of OpenMMLab, in eval mode.
        taps: For each kind of map the pattern of the modules that put out the raw maps (logits), see :class:`Taps`.
        owner: What the network is called in messages.

    Raises:
        ValueError: When a pattern matches no module.
    """

    def __init__(self, model: nn.Module, taps: dict[str, str], owner: str):
        self.model = model
        self.taps = Taps(model, taps, owner)
        self.counts = None

    @torch.no_grad()
    def __call__(self, inputs: list[Tensor]) -> Maps:
        """The maps of eq. 5-6, after the sigmoid, of a batch, by kind and name of the module, in running order.

        The network runs no further than its last tap, but for the first batch, which tells where that is.

        Args:
            inputs: N packed pictures (C, H, W) of one size, as the data preprocessor takes them.

        Returns:
            float32, spatial (N, 1, h, w), channel (N, C, 1, 1), without the margin with which the data preprocessor
            pads pictures. A module that runs several times has a number behind its name, as in `head.attention#1`.

        Raises:
            ValueError: When the pictures differ in size, or the network does not get as far as its taps.
        """
        if len(sizes := {tuple(picture.shape) for picture in inputs}) != 1:
            raise ValueError(f'found pictures of the sizes {sorted(sizes)} in a batch, expected one')
        batch = self.model.data_preprocessor(dict(inputs=inputs), False)['inputs']
        if self.counts is None:
            self._run_whole(batch)
        else:
            with self.taps.recording(stop_at=self.counts):
                self.model(batch, mode='tensor')
        self.counts = self.taps.counts()
        fired = self.taps.fired
        inside = [own / padded for own, padded in zip(inputs[0].shape[-2:], batch[0].shape[-2:])]
        return {
            kind: {name: _cut(x.float().sigmoid(), inside) for name, x in zip(_numbered(fired[kind]), outputs)}
            for kind, outputs in self.taps.stop().items()
        }

    def _run_whole(self, batch):
        self.taps.start()
        try:
            self.model(batch, mode='tensor')
        except (AssertionError, AttributeError, TypeError) as error:  # heads that need boxes or proposals
            found = self.taps.counts()
            if missing := [kind for kind, count in self.taps.matched.items() if found[kind] < count]:
                raise ValueError(
                    f'the {self.taps.owner} does not get as far as its taps {missing} (it ends with '
                    f'{type(error).__name__}: {error}): it sees pictures alone, without the boxes or proposals that '
                    'the heads of two-stage detectors need; tap the backbone or the neck'
                ) from error


def _numbered(names):
    seen, total = Counter(), Counter(names)
    for name in names:
        seen[name] += 1
        yield name if total[name] == 1 else f'{name}#{seen[name]}'


def _cut(maps, inside):
    """The part of maps (N, C, h, w) that lies inside the picture: two fractions, of the height and of the width."""
    if maps.ndim != 4:
        return maps
    rows, columns = (math.ceil(side * part) for side, part in zip(maps.shape[-2:], inside))
    return maps[..., :rows, :columns]


def attention_taps(model: nn.Module, losses: Iterable[DistillationLoss] = ()) -> dict[str, str]:
    """The patterns of the modules that put out a network's raw attention maps.

    Args:
        model: The network.
        losses: With which it is distilled, see :func:`loss_taps`; where none knows, the modules are those of CBAM.

    Returns:
        A pattern by kind; only of kinds that the network has.
    """
    names = [name for name, _ in model.named_modules()]
    taps = loss_taps(losses) or AttentionSimilarityLoss().taps
    return {kind: tap for kind, tap in taps.items() if match(names, tap)}


def loss_taps(losses: Iterable[DistillationLoss]) -> dict[str, str] | None:
    """The taps of the AttentionSimilarityLoss among some losses, None where there is none."""
    return next((loss.taps for loss in losses if isinstance(loss, AttentionSimilarityLoss)), None)


def stages(names: Iterable[str]) -> dict[str, str]:
    """The last block of each stage of a network, as fig. 5 compares them.

    A stage is what stands in a name up to its first number (`backbone.layer1`, `stages.0`); a number that all names
    share counts only before that of a block, as in `layer4.2`. A name without such a number is a stage of its own.

    Args:
        names: Of tapped modules, in running order.

    Returns:
        The name of the last module of each stage by the stage: its last part alone (`layer1`) where that tells the
        stages apart.

    Example:
        >>> stages(['net.layer1.0.cbam', 'net.layer1.1.cbam', 'net.layer2.0.cbam'])
        {'layer1': 'net.layer1.1.cbam', 'layer2': 'net.layer2.0.cbam'}
    """
    paths = [name.split('.') for name in names]
    shared = sum(1 for _ in takewhile(lambda parts: len(set(parts)) == 1, zip(*paths)))
    last = {tuple(_stage(path, shared)): path for path in paths}
    short = ['.'.join(_short(stage, path)) for stage, path in last.items()]
    if len(set(short)) < len(short):
        short = map('.'.join, last)
    return dict(zip(short, map('.'.join, last.values())))


def _stage(path, shared):
    for i, part in enumerate(path):
        before_block = path[i + 1 : i + 2] and path[i + 1].isdecimal()
        if part[-1:].isdecimal() and (i >= shared or before_block):
            return path[: i + 1]
    return path


def _short(stage, path):
    if len(stage) == len(path):
        return path
    return stage[-2:] if stage[-1].isdecimal() else stage[-1:]


def last_blocks(maps: dict[str, dict[str, Item]]) -> dict[str, dict[str, Item]]:
    """Of each stage the maps of its last block, or whatever else has their names, by kind and stage."""
    return {kind: {stage: named[tap] for stage, tap in stages(named).items()} for kind, named in maps.items()}


def paired(student: Maps, teacher: Maps) -> Iterator[tuple[str, str, Tensor, Tensor]]:
    """Kind, name in the student, the student's maps and the teacher's, of all maps, in running order.

    Raises:
        ValueError: When they differ in number or in shape; names the first that has no partner.
    """
    for kind in student | teacher:
        ours, theirs = student.get(kind, {}), teacher.get(kind, {})
        if len(ours) != len(theirs):
            names = ' against '.join(first_names(list(maps)) or 'none' for maps in (ours, theirs))
            raise ValueError(
                f'found {len(ours)} {kind} maps in the student and {len(theirs)} in the teacher, expected as many: '
                f'{names}; compare networks of one architecture, or choose taps that pick the same layers in both'
            )
        for (name, s), (other, t) in zip(ours.items(), theirs.items()):
            if s.shape != t.shape:
                raise ValueError(
                    f'found {kind} maps {tuple(s.shape)} at {name} of the student and {tuple(t.shape)} at {other} of '
                    'the teacher, expected one shape: both networks must be of one size there, and see pictures of '
                    'one size'
                )
            yield kind, name, s, t


def equal_batches(items: Iterable[Item], shape: Callable[[Item], Hashable], size: int) -> Iterator[list[Item]]:
    """Batches of at most `size` neighbours of one shape.

    Example:
        >>> list(equal_batches(['ab', 'cd', 'ef', 'g'], len, 2))
        [['ab', 'cd'], ['ef'], ['g']]
    """
    for _, alike in groupby(items, shape):
        while batch := list(islice(alike, size)):
            yield batch
