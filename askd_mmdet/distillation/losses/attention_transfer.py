"""AT: maps of where features are strong, which no layer learns (Zagoruyko and Komodakis, 2017), and AT* of table 3."""

from mmengine.registry import MODELS
from torch import Tensor
from torch.nn import functional as F

from askd_mmdet.distillation.losses.attention_similarity import attention_similarity
from askd_mmdet.distillation.losses.base import DistillationLoss, comparable


def activation_map(features: Tensor) -> Tensor:
    """Sum of the squares over the channels, flattened and L2-normalised: (N, C, H, W) -> (N, H * W).

    Example:
        >>> import torch
        >>> activation_map(torch.tensor([[[[3.0, 0.0]], [[0.0, 12.0**0.5]]]]))
        tensor([[0.6000, 0.8000]])
    """
    return F.normalize(features.square().sum(1).flatten(1))


@MODELS.register_module()
class AttentionTransferLoss(DistillationLoss):
    """The distance between the activation maps of two networks, summed over the stages.

    Args:
        tap: Pattern of the modules that end the stages.
        distance: 'l2' (AT): the squared difference, averaged over batch and positions. 'cosine' (AT*): the cosine
            distance, eq. 7.
        weight: Factor of the loss. 1000 for 'l2' is that of the AT authors' code, which like this takes the mean over
            positions, leaves out the 1/2 of its formula and sums over the stages; the paper writes it as a beta of 1000
            over the number of elements. F-SKD's repository has 1000 times the mean over four stages, a quarter of this.
            For AT* the A-SKD paper names none; 5 in the configs, its lambda, is this project's choice.

    Raises:
        ValueError: For another `distance`, or (when called) features of different shape.
    """

    def __init__(self, tap: str = 'backbone.layer?', distance: str = 'l2', weight: float = 1000.0):
        super().__init__(dict(features=tap), weight)
        if distance not in ('l2', 'cosine'):
            raise ValueError(f"AttentionTransferLoss: distance must be 'l2' or 'cosine', got {distance!r}")
        self.compare = F.mse_loss if distance == 'l2' else attention_similarity

    def distance(self, student: dict[str, list[Tensor]], teacher: dict[str, list[Tensor]]) -> Tensor:
        return sum(
            self.compare(*map(activation_map, comparable(s, t)))
            for s, t in zip(student['features'], teacher['features'], strict=True)
        )
