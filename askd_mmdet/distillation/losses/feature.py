"""F-KD: the L2 distance between features (FitNets, Romero et al., 2015; for embeddings Massoli et al., 2020)."""

from mmengine.registry import MODELS
from torch import Tensor
from torch.nn import functional as F

from askd_mmdet.distillation.losses.base import DistillationLoss, comparable


def feature_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """Squared L2 distance between features, averaged over all their numbers.

    Args:
        student: (N, ...), of any floating type; computed in float32 at least.
        teacher: Same shape.

    Returns:
        Scalar >= 0.

    Raises:
        ValueError: When the shapes differ.

    Example:
        >>> import torch
        >>> feature_distance(torch.tensor([[1.0, 2.0]]), torch.tensor([[1.0, 4.0]])).item()
        2.0
    """
    return F.mse_loss(*comparable(student, teacher))


@MODELS.register_module()
class FeatureLoss(DistillationLoss):
    """F-KD, see :func:`feature_distance`, summed over the taps.

    Args:
        tap: Pattern of the modules to compare; by default those that put out IRResNet's embedding.
        weight: Factor of the loss; 1 on embeddings is this project's choice. Massoli et al. have 0.1 on pooled features
            of 2048 numbers, F-SKD's repository 1.5 times the mean over four stages.
    """

    def __init__(self, tap: str = 'backbone.output_layer', weight: float = 1.0):
        super().__init__(dict(features=tap), weight)

    def distance(self, student: dict[str, list[Tensor]], teacher: dict[str, list[Tensor]]) -> Tensor:
        return sum(feature_distance(s, t) for s, t in zip(student['features'], teacher['features'], strict=True))
