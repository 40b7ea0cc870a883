"""HORKD: embeddings, their pairs and their triplets (Ge et al., 2020), "L1+Huber" in the paper's tables."""

from mmengine.registry import MODELS
from torch import Tensor
from torch.nn import functional as F

from askd_mmdet.distillation.losses.base import DistillationLoss, comparable
from askd_mmdet.distillation.losses.relations import angle_distance, relative_distances
from askd_mmdet.training.settings import check_numbers


@MODELS.register_module()
class HybridOrderRelationLoss(DistillationLoss):
    """Distances of three orders between the embeddings of a batch.

    First order: L1 between embeddings. Second: Huber between the Euclidean distances of all pairs, in units of their
    batch's mean as in RKD, of which HORKD is a variant. Third: Huber between the cosines of the angles of all triplets.
    Each is averaged over all its numbers.

    No code of HORKD's authors is public: all weights are this project's. `orders` gives each order a share of the
    gradient worth having, by its norm 17, 42 and 41 % on synthetic embeddings of rank 16, and 48, 26 and 25 % on those
    of full rank (128 embeddings of 512 numbers, student and teacher correlated by 0.5: `order_shares` in
    `tests/distillation/test_rival_losses.py`).

    Args:
        tap: Pattern of the modules that put out embeddings (N, C), by default IRResNet's.
        orders: Weights of the three orders.
        weight: Factor of the loss.
    """

    def __init__(
        self,
        tap: str = 'backbone.output_layer',
        orders: tuple[float, float, float] = (1.0, 20.0, 25.0),
        weight: float = 1.0,
    ):
        super().__init__(dict(embeddings=tap), weight)
        check_numbers('HybridOrderRelationLoss', 'orders', orders, count=3, at_least=0)
        self.orders = orders

    def distance(self, student: dict[str, list[Tensor]], teacher: dict[str, list[Tensor]]) -> Tensor:
        first, second, third = self.orders
        pairs = [comparable(s, t) for s, t in zip(student['embeddings'], teacher['embeddings'], strict=True)]
        return sum(
            first * F.l1_loss(s, t)
            + second * F.smooth_l1_loss(relative_distances(s), relative_distances(t))
            + third * angle_distance(s, t).to(s.dtype)
            for s, t in pairs
        )
