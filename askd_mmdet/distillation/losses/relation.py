"""RKD: how the embeddings of a batch lie to each other (Park et al., 2019)."""

from mmengine.registry import MODELS
from torch import Tensor
from torch.nn import functional as F

from askd_mmdet.distillation.losses.base import DistillationLoss, comparable
from askd_mmdet.distillation.losses.relations import angle_distance, relative_distances
from askd_mmdet.training.settings import check_number


@MODELS.register_module()
class RelationLoss(DistillationLoss):
    """Huber distances between the relations of two batches of embeddings, each averaged over all its numbers.

    The distances of pairs are in units of their batch's mean, and angles are cosines, so that neither size nor
    orientation of the embeddings matters.

    Args:
        tap: Pattern of the modules that put out embeddings (N, C); by default a classifier's pooled features.
        distances: Weight of the pairs' distances.
        angles: Weight of the triplets' angles; 25 and 50 are those of RKD's authors for CIFAR and ImageNet. For
            embeddings (metric learning) they have 1 and 2, F-SKD's repository has 40 and 80.
        weight: Factor of the loss.
    """

    def __init__(self, tap: str = 'neck', distances: float = 25.0, angles: float = 50.0, weight: float = 1.0):
        super().__init__(dict(embeddings=tap), weight)
        for name, value in dict(distances=distances, angles=angles).items():
            check_number('RelationLoss', name, value, at_least=0)
        self.distances = distances
        self.angles = angles

    def distance(self, student: dict[str, list[Tensor]], teacher: dict[str, list[Tensor]]) -> Tensor:
        pairs = [comparable(s, t) for s, t in zip(student['embeddings'], teacher['embeddings'], strict=True)]
        return sum(
            self.distances * F.smooth_l1_loss(relative_distances(s), relative_distances(t))
            + self.angles * angle_distance(s, t).to(s.dtype)
            for s, t in pairs
        )
