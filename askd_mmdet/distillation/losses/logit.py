"""KD: the divergence between class probabilities (Hinton et al., 2015)."""

from mmengine.registry import MODELS
from torch import Tensor
from torch.nn import functional as F

from askd_mmdet.distillation.losses.base import DistillationLoss, comparable
from askd_mmdet.training.settings import check_number


def logit_divergence(student: Tensor, teacher: Tensor, temperature: float = 4.0) -> Tensor:
    """KL(softmax(teacher / T) || softmax(student / T)) T^2, averaged over the batch.

    Args:
        student: Logits (N, classes), of any floating type; computed in float32 at least.
        teacher: Same shape.
        temperature: T > 0.

    Returns:
        Scalar >= 0.

    Raises:
        ValueError: When the shapes differ.

    Example:
        >>> import torch
        >>> logits = torch.tensor([[1.0, 2.0, 3.0]])
        >>> logit_divergence(logits + 5, logits).item() < 1e-6
        True
    """
    student, teacher = comparable(student, teacher)
    student, teacher = ((x / temperature).log_softmax(1) for x in (student, teacher))
    return F.kl_div(student, teacher, reduction='batchmean', log_target=True) * temperature**2


@MODELS.register_module()
class LogitLoss(DistillationLoss):
    """KD on what a classifier puts out, see :func:`logit_divergence`.

    Args:
        tap: Pattern of the module with the logits: 'head.fc' in a plain classifier, 'head.norm_product' in an
            ArcFaceHead, where it puts out cosines.
        scale: Factor that makes logits of the tap's output: s = 32 for ArcFace's cosines (without margin), else 1.
        temperature: T > 0; 4 by custom.
        weight: Factor of the loss.

    Raises:
        ValueError: When a setting is of another type or out of range.
    """

    def __init__(self, tap: str, scale: float = 1.0, temperature: float = 4.0, weight: float = 1.0):
        super().__init__(dict(logits=tap), weight)
        for name, value in dict(scale=scale, temperature=temperature).items():
            check_number('LogitLoss', name, value, above=0)
        self.scale = scale
        self.temperature = temperature

    def distance(self, student: dict[str, list[Tensor]], teacher: dict[str, list[Tensor]]) -> Tensor:
        return sum(
            logit_divergence(self.scale * s.float(), self.scale * t.float(), self.temperature)
            for s, t in zip(student['logits'], teacher['logits'], strict=True)
        )
