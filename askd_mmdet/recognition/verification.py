"""Face verification by the LFW protocol: one person or two, decided by a threshold that ten folds choose (sec. 4.1)."""

from dataclasses import dataclass

import numpy as np

from askd_mmdet.training.settings import check_number

THRESHOLDS = np.linspace(-1, 1, 20001)


@dataclass
class Verification:
    """What the protocol says of N pairs.

    Attributes:
        accuracies: float64 (folds,), each in [0, 1]: the share of a fold's pairs that is right.
        thresholds: float64 (folds,), each in [-1, 1]: what the other folds chose for it.
        scores: float64 (N,), the cosine of each pair, after the mean of the other folds was subtracted.
        same: bool (N,), whether each pair shows one person.
        right: bool (N,), whether the threshold of its fold decides each pair rightly.
    """

    accuracies: np.ndarray
    thresholds: np.ndarray
    scores: np.ndarray
    same: np.ndarray
    right: np.ndarray

    @property
    def accuracy(self) -> float:
        """Mean over the folds, the figure of table 1."""
        return self.accuracies.mean().item()

    @property
    def std(self) -> float:
        """Standard deviation over the folds (divided by their number, as is custom for LFW)."""
        return self.accuracies.std().item()

    def roc(self) -> tuple[np.ndarray, np.ndarray]:
        """FAR and TAR, ascending from (0, 0) to (1, 1), at every score that occurs, of all folds together.

        FAR is the share of the pairs of two persons whose score is at least the threshold, TAR that of one person.
        """
        order = np.argsort(-self.scores, kind='stable')
        last_of_ties = np.append(np.diff(self.scores[order]) != 0, True)
        counts = np.stack([np.cumsum(kind[order])[last_of_ties] for kind in (~self.same, self.same)])
        far, tar = np.pad(counts / counts[:, -1:], ((0, 0), (1, 0)))
        return far, tar

    def tar_at(self, far: float) -> float:
        """The greatest TAR at which the FAR does not exceed `far`.

        With n pairs of two persons, a `far` below 1 / n admits no false accept at all: at the 3,000 of LFW and
        AgeDB-30, 1e-4 asks for the pairs that score above every wrong one.
        """
        fars, tars = self.roc()
        return tars[fars <= far].max().item()

    @property
    def auc(self) -> float:
        """Area under the ROC: how often a pair of one person scores above one of two, ties counting half."""
        far, tar = self.roc()
        return np.trapezoid(tar, far).item()


def number_folds(count: int, folds: int) -> np.ndarray:
    """The fold of each of `count` pairs, int (count,), in consecutive folds of the same size.

    Example:
        >>> number_folds(5, 2)
        array([0, 0, 0, 1, 1])
    """
    return np.repeat(np.arange(folds), [len(part) for part in np.array_split(np.arange(count), folds)])


def verify(first: np.ndarray, second: np.ndarray, same: np.ndarray, folds: int | np.ndarray = 10) -> Verification:
    """Verify pairs of embeddings.

    For each fold: the mean embedding of the other folds is subtracted, embeddings are normalised, and of 20,001
    thresholds in [-1, 1] the mean of those with the most right answers on the other folds is used. A pair is one person
    where its cosine exceeds the threshold.

    Args:
        first: Embeddings of the pairs' first pictures, (N, D), of any floating type; computed in float64.
        second: The same for the second pictures.
        same: bool (N,), whether the pictures of a pair show one person.
        folds: A number of consecutive, equal folds, or the fold of every pair, int (N,), which counts from 0.

    Raises:
        ValueError: When shapes differ, a fold is empty, all pairs are of one kind, or an embedding is not finite.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> persons = rng.normal(size=(40, 8))
        >>> second = np.where(np.arange(40)[:, None] % 2, persons, rng.normal(size=(40, 8)))
        >>> verify(persons, second, np.arange(40) % 2 == 1).accuracy
        1.0
    """
    same = np.asarray(same, bool)
    if np.ndim(first) != 2 or np.shape(first) != np.shape(second) or same.shape != np.shape(first)[:1]:
        raise ValueError(
            f'found embeddings of shape {np.shape(first)} and {np.shape(second)} and {len(same)} answers, expected '
            '(N, D) twice and N answers'
        )
    pairs = np.stack([first, second]).astype(np.float64)
    if np.ndim(folds) == 0:
        check_number('verify', 'folds', folds, whole=True, at_least=2)
        if folds > len(same):
            raise ValueError(f'found {len(same)} pairs for {folds} folds, expected a pair for each')
        folds = number_folds(len(same), folds)
    sizes = np.bincount(folds)
    if len(sizes) < 2 or not sizes.all():
        raise ValueError(f'found {sizes.tolist()} pairs in the folds, expected at least 2 folds and a pair for each')
    if same.all() or not same.any():
        kind = 'one person' if same.all() else 'two persons'
        raise ValueError(f'all {len(same)} pairs show {kind}, expected pairs of both kinds')
    if len(bad := np.flatnonzero(~np.isfinite(pairs).all((0, 2)))):
        raise ValueError(f'the embeddings of {len(bad)} pairs are not finite, first those of pairs {bad[:5].tolist()}')

    # With the common mean gone, the means m of the folds are small, and nothing cancels in a.b - m.a - m.b + m.m.
    pairs -= pairs.mean((0, 1))
    sums = np.stack([pairs[:, folds == fold].sum((0, 1)) for fold in range(len(sizes))])
    means = (sums.sum(0) - sums) / (2 * (len(same) - sizes))[:, None]
    products = np.einsum('nd,nd->n', *pairs)
    squares = np.einsum('snd,snd->sn', pairs, pairs)
    along = pairs @ means.T  # (2, N, folds)
    centre = np.einsum('fd,fd->f', means, means)

    accuracies, thresholds, scores, decided = [], [], np.empty(len(same)), np.empty(len(same), bool)
    for fold in range(len(sizes)):
        lengths = np.sqrt(np.maximum(squares - 2 * along[..., fold] + centre[fold], np.finfo(float).tiny)).prod(0)
        # Rounding must not lift a cosine above the threshold 1.
        cosines = ((products - along[..., fold].sum(0) + centre[fold]) / lengths).clip(-1, 1)
        mine = folds == fold
        right = _right_answers(cosines[~mine], same[~mine])
        thresholds.append(THRESHOLDS[right == right.max()].mean())
        decided[mine] = (cosines[mine] > thresholds[-1]) == same[mine]
        accuracies.append(decided[mine].mean())
        scores[mine] = cosines[mine]
    return Verification(np.array(accuracies), np.array(thresholds), scores, same, decided)


def _right_answers(cosines, same):
    """How many pairs each threshold gets right: persons above it, strangers not above it."""
    strangers_below = np.searchsorted(np.sort(cosines[~same]), THRESHOLDS, 'right')
    persons_below = np.searchsorted(np.sort(cosines[same]), THRESHOLDS, 'right')
    return strangers_below + same.sum() - persons_below
