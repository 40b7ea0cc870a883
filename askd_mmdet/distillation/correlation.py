"""Pearson's correlation between the maps of two networks (sec. 5, fig. 5), of arrays and streamed over a data set."""

from dataclasses import dataclass, field

import numpy as np
from torch import Tensor

from askd_mmdet.training.settings import check_number


def pearson(a, b) -> float | None:
    """Pearson's r between the numbers of two arrays.

    Args:
        a, b: Arrays or tensors of one shape, of finite numbers.

    Returns:
        In [-1, 1]; None where it is undefined: for fewer than two numbers, and where one side is constant.

    Raises:
        ValueError: When the shapes differ, or a number is not finite.

    Example:
        >>> round(pearson([1, 2, 3], [1, 3, 2]), 9)
        0.5
        >>> pearson([1, 2, 3], [5, 5, 5]) is None
        True
    """
    pairs = _pairs(a, b)
    if not np.isfinite(pairs).all():
        raise ValueError('found numbers that are not finite, expected maps of a network that has not diverged')
    pairs -= pairs[:, :1]
    spread = abs(pairs).max(1, initial=0, keepdims=True)
    return Moments.of(*(pairs / spread)).r if spread.all() else None


@dataclass(frozen=True)
class Moments:
    """What is to be known of pairs of numbers to tell their correlation; those of two sets add up to those of both.

    Rounding does not grow with the number of sets: deviations are from the set's own mean, in float64, and merged by
    the formula of Chan, Golub and LeVeque (1979).

    Attributes:
        count: How many pairs.
        means: Of each side, (2,).
        products: Sums of the products of the deviations from the means, (2, 2).
    """

    count: int = 0
    means: np.ndarray = field(default_factory=lambda: np.zeros(2))
    products: np.ndarray = field(default_factory=lambda: np.zeros((2, 2)))

    @classmethod
    def of(cls, a, b) -> 'Moments':
        """Those of the numbers of two arrays or tensors; raises ValueError unless they have one shape."""
        pairs = _pairs(a, b)
        if not pairs.size:
            return cls()
        # The mean of equal numbers, which rounding would move, is to be that number, and their deviation 0.
        deviations = pairs - pairs[:, :1]
        shift = deviations.mean(1, keepdims=True)
        deviations -= shift
        return cls(pairs.shape[1], (pairs[:, :1] + shift)[:, 0], deviations @ deviations.T)

    def __add__(self, other: 'Moments') -> 'Moments':
        if not other.count:
            return self
        count = self.count + other.count
        apart = other.means - self.means
        between = np.outer(apart, apart) * (self.count * other.count / count)
        return Moments(count, self.means + apart * (other.count / count), self.products + other.products + between)

    @property
    def r(self) -> float | None:
        """Pearson's correlation, in [-1, 1]; None where it is undefined, also for numbers that are not finite."""
        spread = np.sqrt(self.products.diagonal())
        return float(np.clip(self.products[0, 1] / spread[0] / spread[1], -1, 1)) if (spread > 0).all() else None


class Correlation:
    """The correlation between a student's and a teacher's maps, streamed over any number of them.

    Args:
        bins: Of the histogram, on either side.

    Attributes:
        count: How many pairs of numbers there were.
        r: Pearson's correlation of all of them, None where it is undefined, see :func:`pearson`.
        histogram: How many pairs fell where: int64 (bins, bins), over [0, 1], the student's numbers along the first
            axis and the teacher's along the second.

    Raises:
        ValueError: When `bins` is not a whole number of at least 1.

    Example:
        >>> first, second = Correlation(bins=2), Correlation(bins=2)
        >>> first.update([[0.1, 0.2]], [[0.1, 0.3]])
        >>> second.update([[0.3]], [[0.2]])
        >>> round((first + second).r, 9), (first + second).histogram.tolist()
        (0.5, [[3, 0], [0, 0]])
    """

    def __init__(self, bins: int = 64):
        check_number('Correlation', 'bins', bins, whole=True, at_least=1)
        self.moments = Moments()
        self.histogram = np.zeros((bins, bins), np.int64)

    @property
    def count(self) -> int:
        return self.moments.count

    @property
    def r(self) -> float | None:
        return self.moments.r

    def update(self, student, teacher) -> None:
        """Take in more maps.

        Args:
            student, teacher: Arrays or tensors of one shape, on any device, in [0, 1]: maps after the sigmoid.

        Raises:
            ValueError: When the shapes differ, or a number lies outside [0, 1].
        """
        pairs = _pairs(student, teacher)
        if not ((pairs >= 0) & (pairs <= 1)).all():
            raise ValueError('found maps with numbers outside [0, 1], expected those of eq. 5-6, after the sigmoid')
        self.moments += Moments.of(*pairs)
        bins = len(self.histogram)
        row, column = (pairs * bins).astype(np.int64).clip(max=bins - 1)
        self.histogram += np.bincount(row * bins + column, minlength=bins**2).reshape(bins, bins)

    def __add__(self, other: 'Correlation') -> 'Correlation':
        """That of both: of several processes, or data sets.

        Raises:
            ValueError: When their bins differ in number.
        """
        if len(self.histogram) != len(other.histogram):
            raise ValueError(f'found {len(self.histogram)} and {len(other.histogram)} bins, expected as many')
        both = Correlation(len(self.histogram))
        both.moments = self.moments + other.moments
        both.histogram = self.histogram + other.histogram
        return both


def _pairs(a, b):
    """Two arrays or tensors of one shape as float64 (2, N)."""
    a, b = (x.detach().cpu().double().numpy() if isinstance(x, Tensor) else np.asarray(x, np.float64) for x in (a, b))
    if a.shape != b.shape:
        raise ValueError(f'found {a.shape} and {b.shape}, expected two maps of one shape')
    return np.stack([a.ravel(), b.ravel()])
