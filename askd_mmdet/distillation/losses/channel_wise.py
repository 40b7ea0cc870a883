"""CWD: the divergence between where the channels of two feature maps are strong (Shu et al., 2021)."""

from mmengine.registry import MODELS
from torch import Tensor

from askd_mmdet.distillation.losses.base import DistillationLoss, comparable
from askd_mmdet.distillation.losses.logit import logit_divergence
from askd_mmdet.training.settings import check_number


def channel_wise_divergence(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    """KL(softmax(teacher / T) || softmax(student / T)) T^2 over the positions of each channel, averaged over them all.

    Args:
        student: Features (N, C, H, W), of any floating type; computed in float32 at least.
        teacher: Same shape.
        temperature: T > 0.

    Returns:
        Scalar >= 0, the mean over batch and channels; a channel's offset does not matter.

    Raises:
        ValueError: When the shapes differ.

    Example:
        >>> import torch
        >>> features = torch.tensor([[[[1.0, 2.0]], [[0.0, 3.0]]]])
        >>> offset = torch.tensor([5.0, -2.0])[:, None, None]
        >>> channel_wise_divergence(features + offset, features).item() < 1e-6
        True
    """
    student, teacher = (x.flatten(2).flatten(0, 1) for x in comparable(student, teacher))
    return logit_divergence(student, teacher, temperature)


@MODELS.register_module()
class ChannelWiseLoss(DistillationLoss):
    """CWD, see :func:`channel_wise_divergence`, summed over the taps.

    Args:
        tap: Pattern of the modules whose features are compared; by default a detector's neck with all its levels.
        temperature: T > 0.
        weight: Factor of the loss. The paper segments: it has T = 4 and a weight of 50 on features, 3 on logits. T = 1
            and 5 are mmdetection-distiller's setting for the levels of a RetinaNet's FPN; MMRazor has 10.

    Raises:
        ValueError: When a setting is of another type or out of range.
    """

    def __init__(self, tap: str = 'neck', temperature: float = 1.0, weight: float = 5.0):
        super().__init__(dict(features=tap), weight)
        check_number('ChannelWiseLoss', 'temperature', temperature, above=0)
        self.temperature = temperature

    def distance(self, student: dict[str, list[Tensor]], teacher: dict[str, list[Tensor]]) -> Tensor:
        return sum(
            channel_wise_divergence(s, t, self.temperature)
            for s, t in zip(student['features'], teacher['features'], strict=True)
        )
