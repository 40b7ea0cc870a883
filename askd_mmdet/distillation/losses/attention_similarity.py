"""A-SKD: the cosine distance between attention maps (sec. 3.3)."""

from collections import defaultdict
from collections.abc import Callable, Iterable

import torch
from mmengine.registry import MODELS
from torch import Tensor
from torch.nn import functional as F

from askd_mmdet.distillation.losses.base import DistillationLoss, comparable


def attention_similarity(student_map: Tensor, teacher_map: Tensor) -> Tensor:
    """Cosine distance rho of eq. 7 between two attention maps, averaged over the batch.

    Args:
        student_map: (N, ...), of any floating type; computed in float32 at least.
        teacher_map: Same shape.

    Returns:
        Scalar in [0, 2]; 0 where the maps point the same way.

    Raises:
        ValueError: When the shapes differ.

    Example:
        >>> import torch
        >>> attention_similarity(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 3.0]])).item()
        1.0
    """
    student_map, teacher_map = comparable(student_map, teacher_map)
    return (1 - F.cosine_similarity(student_map.flatten(1), teacher_map.flatten(1))).mean()


def summed_attention_similarity(
    pairs: Iterable[tuple[Tensor, Tensor]], activation: Callable[[Tensor], Tensor] | None = None
) -> Tensor:
    """:func:`attention_similarity`, summed over layers, whose maps of one shape are stacked and compared together.

    So it takes as many operators as there are shapes, not as there are layers, which a GPU would wait for.

    Args:
        pairs: Of every layer the student's maps (N, ...) and the teacher's, of one shape.
        activation: Of the float32 maps, element by element; by default none.

    Raises:
        ValueError: When the shapes of a pair differ.

    Example:
        >>> import torch
        >>> right, up = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 3.0]])
        >>> summed_attention_similarity([(right, up), (right, up), (up, up)]).item()
        2.0
    """
    layers = defaultdict(list)
    for pair in pairs:
        student, teacher = comparable(*pair)
        layers[student.shape, student.dtype, teacher.dtype].append((student, teacher))
    cosines = []
    for alike in layers.values():
        student, teacher = (torch.stack(maps).flatten(2) for maps in zip(*alike))
        if activation:
            student, teacher = activation(student), activation(teacher)
        cosines.append(F.cosine_similarity(student, teacher, dim=2).mean(1))
    return (1 - torch.cat(cosines)).sum()


@MODELS.register_module()
class AttentionSimilarityLoss(DistillationLoss):
    """Distillation loss of eq. 8: (rho of the spatial map + rho of the channel map) / 2, summed over the layers.

    A kind that is left out ("spatial only" of table 3) leaves out its rho and nothing else: the 1/2 stays, so that at
    one weight both rows of the table pull the spatial maps equally. The authors' code omits the 1/2: it is this loss at
    twice the weight.

    Args:
        channel: Pattern of the modules that return the raw channel maps, None to leave them out.
        spatial: The same for the spatial maps.
        maps: 'raw' compares the logits, as the authors' code does; 'sigmoid' the maps of eq. 5-6, as the paper writes.
            After a sigmoid all values are positive, so the cosine starts near 1 and its gradient is weak.
        weight: lambda of eq. 9; the paper uses 5.

    Raises:
        ValueError: For an unknown kind of `maps`, no pattern at all, or (when called) maps of different shape.
    """

    def __init__(
        self,
        channel: str | None = '*.channel_attention',
        spatial: str | None = '*.spatial_attention',
        maps: str = 'raw',
        weight: float = 5.0,
    ):
        taps = dict(channel=channel, spatial=spatial)
        super().__init__({kind: tap for kind, tap in taps.items() if tap is not None}, weight)
        if maps not in ('raw', 'sigmoid'):
            raise ValueError(f"AttentionSimilarityLoss: maps must be 'raw' or 'sigmoid', got {maps!r}")
        self.activation = torch.sigmoid if maps == 'sigmoid' else None

    def distance(self, student: dict[str, list[Tensor]], teacher: dict[str, list[Tensor]]) -> Tensor:
        pairs = (pair for kind in self.taps for pair in zip(student[kind], teacher[kind], strict=True))
        return summed_attention_similarity(pairs, self.activation) / 2
