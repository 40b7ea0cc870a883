"""DIST: how class probabilities correlate, over the classes and over the batch (Huang et al., 2022)."""

from mmengine.registry import MODELS
from torch import Tensor
from torch.nn import functional as F

from askd_mmdet.distillation.losses.base import DistillationLoss, comparable
from askd_mmdet.training.settings import check_number


def pearson_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """1 - r, Pearson's correlation of each row, averaged over the rows.

    Args:
        student: (rows, numbers), of any floating type; computed in float32 at least.
        teacher: Same shape.

    Returns:
        Scalar in [0, 2]; a row's offset does not matter, nor its positive scale. A constant row is at 1 from any other.

    Raises:
        ValueError: When the shapes differ.

    Example:
        >>> import torch
        >>> rows = torch.tensor([[1.0, 2.0, 6.0]])
        >>> round(pearson_distance(3 * rows - 1, rows).item(), 3)
        0.0
    """
    centred = (x - x.mean(1, keepdim=True) for x in comparable(student, teacher))
    return (1 - F.cosine_similarity(*centred)).mean()


@MODELS.register_module()
class ClassRelationLoss(DistillationLoss):
    """T^2 times :func:`pearson_distance` of the probabilities softmax(logits / T), weighted and summed in two ways.

    Between classes the rows are the samples, which compares the order that student and teacher see in the classes of a
    sample; within classes they are the classes, which compares the samples of a batch.

    Args:
        tap: Pattern of the module with the logits (N, classes).
        between: Weight of the relation between classes, beta.
        within: Weight of the relation within classes, gamma; a batch of one sample has none, and adds a constant.
        scale: Factor that makes logits of the tap's output: s = 32 for ArcFace's cosines ('head.norm_product'), else 1.
        temperature: T > 0. The paper has 1 on ImageNet, 4 on CIFAR-100, and 2 for both weights.
        weight: Factor of the loss.

    Raises:
        ValueError: When a setting is of another type or out of range.
    """

    def __init__(
        self,
        tap: str = 'head.fc',
        between: float = 2.0,
        within: float = 2.0,
        scale: float = 1.0,
        temperature: float = 1.0,
        weight: float = 1.0,
    ):
        super().__init__(dict(logits=tap), weight)
        for name, value in dict(between=between, within=within).items():
            check_number('ClassRelationLoss', name, value, at_least=0)
        for name, value in dict(scale=scale, temperature=temperature).items():
            check_number('ClassRelationLoss', name, value, above=0)
        self.between = between
        self.within = within
        self.scale = scale
        self.temperature = temperature

    def distance(self, student: dict[str, list[Tensor]], teacher: dict[str, list[Tensor]]) -> Tensor:
        total = 0
        for pair in zip(student['logits'], teacher['logits'], strict=True):
            s, t = ((self.scale / self.temperature * x).softmax(1) for x in comparable(*pair))
            total = total + self.between * pearson_distance(s, t) + self.within * pearson_distance(s.T, t.T)
        return self.temperature**2 * total
