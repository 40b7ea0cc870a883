"""KD: the divergence between class probabilities (Hinton et al., 2015)."""

import logging

import torch
from mmengine.logging import print_log
from mmengine.registry import MODELS
from torch import Tensor
from torch.distributions import Binomial
from torch.nn import functional as F

from askd_mmdet.distillation.losses.base import DistillationLoss, comparable
from askd_mmdet.training.settings import check_number

# Pictures that decide whether the teacher knows the classes: enough to tell 65 % from the 50 % of a coin.
_TRIAL = 256


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


def near_chance(hits: int, pictures: int, classes: int) -> bool:
    """Whether a classifier hits no more often than one whose classes are in a wrong order well may.

    Order them at random, and one class on average keeps its place, and more than three in only two orders of a hundred.
    So a rate of 3 / classes (1/2 at most) is what a network that knows every class may still come to. Near chance is
    what that rate gives more often than once in a thousand trials.

    Args:
        hits: How many of the pictures the classifier gave their own class.
        pictures: N > 0.
        classes: C > 0.

    Example:
        >>> near_chance(2, 256, 10572), near_chance(3, 256, 10572)
        (True, False)
    """
    rate = torch.tensor(min(3 / classes, 1 / 2), dtype=torch.float64)
    tail = Binomial(pictures, rate).log_prob(torch.arange(hits, pictures + 1)).exp().sum()
    return tail.item() > 1e-3


@MODELS.register_module()
class LogitLoss(DistillationLoss):
    """KD on what a classifier puts out, see :func:`logit_divergence`.

    The log warns, once, of a teacher that does not know the classes of the first 256 pictures, as :func:`near_chance`
    judges: most likely its head has them in another order, as one from another code may.

    Args:
        tap: Pattern of the module with the logits: 'head.fc' in a plain classifier, 'head.norm_product' in an
            ArcFaceHead, where it puts out cosines.
        scale: Factor that makes logits of the tap's output: s = 32 for ArcFace's cosines, else 1. The cosines are free
            of the margin, which the later code of A-SKD's authors leaves in both networks: it is a handicap of
            training, and not what a network believes.
        temperature: T > 0; 4 by custom.
        weight: Factor of the loss; 1 is this project's choice.

    Raises:
        ValueError: When a setting is of another type or out of range.
    """

    def __init__(self, tap: str, scale: float = 1.0, temperature: float = 4.0, weight: float = 1.0):
        super().__init__(dict(logits=tap), weight)
        for name, value in dict(scale=scale, temperature=temperature).items():
            check_number('LogitLoss', name, value, above=0)
        self.scale = scale
        self.temperature = temperature
        self.pictures = self.hits = 0

    def watch(self, teacher: dict[str, list[Tensor]], data_samples: list | None) -> None:
        """Count how often the teacher is right, until there are pictures enough to judge it."""
        if self.pictures >= _TRIAL:
            return
        labels = [getattr(sample, 'gt_label', None) for sample in data_samples or ()]
        single = all(isinstance(label, Tensor) and label.numel() == 1 for label in labels)
        if not single or [logits.shape[:-1] for logits in teacher['logits']] != [(len(labels),)]:
            self.pictures = _TRIAL  # no classifier of one class a picture: nothing to judge, now or later
            return
        (logits,) = teacher['logits']
        labels = torch.cat([label.flatten() for label in labels]).to(logits.device)
        self.hits += (logits.argmax(1) == labels).sum().item()
        self.pictures += len(labels)
        if self.pictures >= _TRIAL and near_chance(self.hits, self.pictures, logits.shape[1]):
            print_log(
                f'LogitLoss: the teacher is right about {self.hits} of the first {self.pictures} training pictures, '
                f'which is near chance for {logits.shape[1]} classes, and will teach wrong answers. Most likely its '
                'head has the classes in another order than the training data: train it on these, or convert it with '
                "--train-list where it is the authors'",
                logger='current',
                level=logging.WARNING,
            )

    def distance(self, student: dict[str, list[Tensor]], teacher: dict[str, list[Tensor]]) -> Tensor:
        return sum(
            logit_divergence(self.scale * s.float(), self.scale * t.float(), self.temperature)
            for s, t in zip(student['logits'], teacher['logits'], strict=True)
        )
