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
        distance: 'l2' (AT): the squared difference, averaged over batch and positions, so that the custom weight of
            1000 is the AT paper's beta, 1000 over the number of elements (its code, like this, leaves out the 1/2 of
            its formula). 'cosine' (AT*): the cosine distance, eq. 7.
        weight: Factor of the loss.

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
