"""What every distillation loss is: a distance between tapped outputs, and a weight."""

from abc import ABCMeta, abstractmethod

import torch
from torch import Tensor, nn

from askd_mmdet.training.settings import check_number, check_type


def comparable(student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    """Both tensors in float32 at least.

    Raises:
        ValueError: When their shapes differ.
    """
    if student.shape != teacher.shape:
        raise ValueError(
            f'tapped outputs differ in shape: student {tuple(student.shape)}, teacher {tuple(teacher.shape)}; both '
            'networks must be of one size and see images of one size'
        )
    # What has the type already is left alone: an operator that does nothing is one that a GPU waits for.
    exact = (torch.float32, torch.float64)
    return tuple(x if x.dtype in exact else x.float() for x in (student, teacher))


class DistillationLoss(nn.Module, metaclass=ABCMeta):
    """A weighted distance between what the student and the teacher put out at the same taps.

    A method is a subclass that names its taps and writes :meth:`distance`; the hook does the rest.

    Args:
        taps: Pattern over module names (`*` and `?` as in a shell) for each kind of output, e.g.
            ``dict(channel='backbone.*.channel_attention')``.
        weight: Factor of the loss, lambda of eq. 9; must not be negative.

    Raises:
        ValueError: When there is no tap, or a setting is of another type or out of range.
    """

    def __init__(self, taps: dict[str, str], weight: float):
        super().__init__()
        if not taps:
            raise ValueError(f'{type(self).__name__} has no taps: at least one pattern must be given')
        for kind, tap in taps.items():
            check_type(type(self).__name__, f'the tap {kind}', tap, str)
        check_number(type(self).__name__, 'weight', weight, at_least=0)
        self.taps = taps
        self.weight = weight

    def forward(self, student: dict[str, list[Tensor]], teacher: dict[str, list[Tensor]]) -> Tensor:
        """Scalar loss; both arguments hold, for each kind of tap, the outputs in the order in which they were made."""
        return self.weight * self.distance(student, teacher)

    def watch(self, teacher: dict[str, list[Tensor]], data_samples: list | None) -> None:
        """Look at what the teacher puts out for a batch before the loss does, to warn of what cannot teach."""

    @abstractmethod
    def distance(self, student: dict[str, list[Tensor]], teacher: dict[str, list[Tensor]]) -> Tensor:
        """The unweighted scalar distance, differentiable with respect to the student's tensors."""
