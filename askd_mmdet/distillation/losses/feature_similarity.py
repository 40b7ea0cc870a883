"""F-SKD: the cosine distance between features (Shin et al., 2023)."""

from mmengine.registry import MODELS
from torch import Tensor

from askd_mmdet.distillation.losses.attention_similarity import attention_similarity
from askd_mmdet.distillation.losses.base import DistillationLoss


@MODELS.register_module()
class FeatureSimilarityLoss(DistillationLoss):
    """A-SKD's distance (eq. 7) between whole features instead of attention maps, summed over the stages.

    Args:
        tap: Pattern of the modules that end the stages.
        weight: Factor of the loss; 5 is that of its authors' code, which has 20 times the mean over four stages.
    """

    def __init__(self, tap: str = 'backbone.layer?', weight: float = 5.0):
        super().__init__(dict(features=tap), weight)

    def distance(self, student: dict[str, list[Tensor]], teacher: dict[str, list[Tensor]]) -> Tensor:
        return sum(attention_similarity(s, t) for s, t in zip(student['features'], teacher['features'], strict=True))
