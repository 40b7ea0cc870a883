"""PKD: the distance between features that are normalised first, which is Pearson's correlation (Cao et al., 2022)."""

from mmengine.registry import MODELS
from torch import Tensor
from torch.nn import functional as F

from askd_mmdet.distillation.losses.base import DistillationLoss, comparable


def normalised_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """Half the mean squared difference of features whose channels have zero mean and unit variance.

    It is 1 - r, Pearson's correlation of each channel over batch and positions, averaged over the channels.

    Args:
        student: (N, C, H, W), or (N, C), of any floating type; computed in float32 at least.
        teacher: Same shape.

    Returns:
        Scalar in [0, 2]; a channel's offset does not matter, nor its positive scale. To the variance 1e-5 is added
        (this project's choice), so that a constant channel becomes 0 and its gradient stays small: a channel counts
        for less where its standard deviation is below 0.03, as behind a norm it rarely is.

    Raises:
        ValueError: When the shapes differ, or a channel has a single number, which cannot be normalised.

    Example:
        >>> import torch
        >>> features = torch.tensor([[1.0], [2.0], [6.0]])
        >>> round(normalised_distance(3 * features - 1, features).item(), 3)
        0.0
        >>> round(normalised_distance(-features, features).item(), 3)
        2.0
    """
    student, teacher = comparable(student, teacher)
    if student.numel() == student.shape[1]:
        raise ValueError(
            f'found features {tuple(student.shape)}, expected several numbers in each channel, which are compared by '
            'correlation: a larger batch or picture, or a tap with larger maps'
        )
    student, teacher = (F.batch_norm(x, None, None, training=True) for x in (student, teacher))
    return F.mse_loss(student, teacher) / 2


@MODELS.register_module()
class NormalisedFeatureLoss(DistillationLoss):
    """PKD, see :func:`normalised_distance`, summed over the taps.

    Args:
        tap: Pattern of the modules whose features are compared; by default a detector's neck with all its levels.
        weight: Factor of the loss. MMRazor's configs have 10 for RetinaNet, of whose kind TinaFace is, and 6 for
            Faster R-CNN.
    """

    def __init__(self, tap: str = 'neck', weight: float = 10.0):
        super().__init__(dict(features=tap), weight)

    def distance(self, student: dict[str, list[Tensor]], teacher: dict[str, list[Tensor]]) -> Tensor:
        return sum(normalised_distance(s, t) for s, t in zip(student['features'], teacher['features'], strict=True))
