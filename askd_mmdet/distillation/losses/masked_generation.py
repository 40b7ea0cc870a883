"""MGD: the teacher's features, generated from what a mask leaves of the student's (Yang et al., 2022)."""

from collections.abc import Sequence

import torch
from mmengine.registry import MODELS
from torch import Tensor, nn
from torch.nn import functional as F

from askd_mmdet.distillation.losses.base import DistillationLoss, comparable
from askd_mmdet.training.settings import check_number, check_numbers


def masked(features: Tensor, ratio: float, generator: torch.Generator) -> Tensor:
    """Features (N, C, H, W) with 0 in all channels of positions that are drawn with the probability `ratio`.

    Example:
        >>> masked(torch.ones(1, 2, 1, 3), 0.5, torch.Generator().manual_seed(0))
        tensor([[[[0., 1., 0.]],
        <BLANKLINE>
                 [[0., 1., 0.]]]])
    """
    shape = len(features), 1, *features.shape[2:]
    return features * (torch.rand(shape, generator=generator, device=features.device) >= ratio)


@MODELS.register_module()
class MaskedGenerationLoss(DistillationLoss):
    """The squared error of generated features, summed over channels and positions, and over the taps.

    For each tapped tensor, two 3x3 convolutions with a ReLU between them, as wide as the features, generate the
    teacher's from the :func:`masked` ones of the student. They learn with the student and are no part of it: see
    :class:`DistillationHook`. The sum is averaged over the batch.

    The masks come from a generator of random numbers of the loss's own, so that no other draw changes. It starts anew
    whenever torch is seeded, as `EpochSeedHook` does at every epoch: a resumed run draws the same masks.

    Args:
        channels: Of every tapped tensor, in order: `[256] * 5` for an FPN of five levels.
        tap: Pattern of the modules that put out features (N, C, H, W); by default a detector's neck with all its
            levels.
        ratio: The part of the positions that is masked, lambda in the paper, in [0, 1).
        weight: Factor of the loss, alpha in the paper. It has a ratio of 0.65 and a weight of 2e-5 for one-stage
            detectors, 0.45 and 5e-7 for two-stage ones.

    Raises:
        ValueError: When a setting is of another type or out of range, or (when called) the tensors are not as many, or
            have other channels.
    """

    def __init__(self, channels: Sequence[int], tap: str = 'neck', ratio: float = 0.65, weight: float = 2e-5):
        super().__init__(dict(features=tap), weight)
        check_numbers('MaskedGenerationLoss', 'channels', channels, whole=True, at_least=1)
        check_number('MaskedGenerationLoss', 'ratio', ratio, at_least=0, below=1)
        self.channels = list(channels)
        self.ratio = ratio
        self.generators = nn.ModuleList(
            nn.Sequential(nn.Conv2d(c, c, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(c, c, 3, padding=1))
            for c in channels
        )
        self.seed = self.random = None

    def distance(self, student: dict[str, list[Tensor]], teacher: dict[str, list[Tensor]]) -> Tensor:
        pairs = [comparable(s, t) for s, t in zip(student['features'], teacher['features'], strict=True)]
        if (found := [s.shape[1] for s, _ in pairs]) != self.channels:
            raise ValueError(
                f'MaskedGenerationLoss: the tap {self.taps["features"]!r} puts out {len(found)} tensors, of {found} '
                f'channels, but channels={self.channels}; the setting must be {found}'
            )
        if self.seed != torch.initial_seed():
            self.seed = torch.initial_seed()
            # Not torch's own seed, with which the masks would repeat what dropout draws.
            self.random = torch.Generator(pairs[0][0].device).manual_seed(self.seed ^ 1)
        return sum(
            F.mse_loss(generate(masked(s, self.ratio, self.random)), t, reduction='sum') / len(s)
            for generate, (s, t) in zip(self.generators, pairs)
        )
