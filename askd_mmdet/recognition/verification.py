"""Face verification by the protocol of LFW, which AgeDB-30 and its like share (table 1)."""

from typing import NamedTuple

import numpy as np

FOLDS = 10
THRESHOLDS = np.arange(-10000, 10001) / 10000
# Squared, relative to the longest feature. What lies closer to the mean than float32 resolves has no direction.
_ZERO = 1e-14


class Verification(NamedTuple):
    """What the protocol says of N pairs in F folds.

    Attributes:
        accuracy: Mean over the folds, in [0, 1].
        std: Standard deviation over the folds (of the population: divided by F).
        fold_accuracies: (F,), in [0, 1].
        fold_thresholds: (F,), cosines; a pair is called the same person above it.
        far: (K,), false accept rates of the ROC, ascending from 0 to 1.
        tar: (K,), true accept rates of the ROC, ascending from 0 to 1.
        thresholds: (K,), the cosine above which a pair is accepted there; -inf for the last point.
        auc: Area under the ROC, in [0, 1].
    """

    accuracy: float
    std: float
    fold_accuracies: np.ndarray
    fold_thresholds: np.ndarray
    far: np.ndarray
    tar: np.ndarray
    thresholds: np.ndarray
    auc: float


def verify(first: np.ndarray, second: np.ndarray, same: np.ndarray, folds: np.ndarray | None = None) -> Verification:
    """Tell pairs of one person from pairs of two, by the cosine of their features, in ten folds.

    The mean feature of the other nine folds (over both pictures of all their pairs) is subtracted before the cosine is
    taken. Of 20,001 thresholds in [-1, 1] the one that tells most pairs of the nine folds right (of several, their mean)
    decides in the tenth: a pair is the same person when its cosine is greater.

    The ROC pools what every pair scores while its fold is held out. So its cosines come from ten slightly different
    means, as the accuracy does.

    Args:
        first: Features of the first pictures, (N, D), any scale.
        second: Those of the second ones, (N, D). A feature that equals the mean has a cosine of 0 with any other.
        same: bool, (N,), whether a pair shows one person.
        folds: int, (N,), 0 to 9, where pairs were left out and the others shall stay in their folds. By default
            contiguous and equal parts, see :func:`contiguous_folds`.

    Raises:
        ValueError: When shapes do not fit, a fold is empty, a feature is not finite, or all pairs are of one kind.

    >>> people = np.random.default_rng(0).normal(size=(40, 8))
    >>> same = np.arange(40) % 2 == 0
    >>> result = verify(people, np.where(same[:, None], people, people[::-1]), same)
    >>> result.accuracy, result.auc
    (1.0, 1.0)
    """
    first, second, same = np.asarray(first), np.asarray(second), np.asarray(same, bool)
    if first.ndim != 2 or first.shape != second.shape or same.shape != first.shape[:1]:
        raise ValueError(
            f'the first features are {first.shape}, the second {second.shape} and same is {same.shape}; '
            'for N pairs they should be (N, D), (N, D) and (N,)'
        )
    folds = contiguous_folds(len(same)) if folds is None else np.asarray(folds)
    if folds.shape != same.shape or not np.isin(folds, range(FOLDS)).all():
        raise ValueError(f'folds should hold a number from 0 to {FOLDS - 1} for each of {len(same)} pairs')
    if empty := sorted({*range(FOLDS)} - {*folds.tolist()}):
        raise ValueError(
            f'{len(same)} pairs leave fold {", ".join(map(str, empty))} of {FOLDS} empty; '
            'the protocol needs pairs in every fold'
        )
    for name, features in (('first', first), ('second', second)):
        if len(broken := np.flatnonzero(~np.isfinite(features).all(1))):
            raise ValueError(
                f'the {name} feature of {len(broken)} of {len(same)} pairs holds NaN or infinity: pair '
                f'{", ".join(map(str, broken[:5]))}{", ..." if len(broken) > 5 else ""}; check the weights of the model'
            )
    if same.all() or not same.any():
        raise ValueError(
            f'all {len(same)} pairs show {"one person" if same.all() else "two people"}; '
            'a ROC needs pairs of both kinds'
        )

    cosines = centred_cosines(first, second, folds)
    held_out = np.arange(FOLDS) == folds[:, None]
    thresholds = np.array([best_threshold(cosines[~out, i], same[~out]) for i, out in enumerate(held_out.T)])
    scores = cosines[held_out]
    right = (scores > thresholds[folds]) == same
    accuracies = np.array([right[folds == fold].mean() for fold in range(FOLDS)])
    far, tar, points = roc(scores, same)
    return Verification(
        float(accuracies.mean()),
        float(accuracies.std()),
        accuracies,
        thresholds,
        far,
        tar,
        points,
        float(np.trapezoid(tar, far)),
    )


def contiguous_folds(count: int) -> np.ndarray:
    """The fold of each of `count` pairs in their order: for 6,000 it is the index // 600.

    >>> contiguous_folds(13)
    array([0, 0, 1, 1, 2, 2, 3, 4, 5, 6, 7, 8, 9])
    """
    return np.repeat(np.arange(FOLDS), [len(part) for part in np.array_split(np.arange(count), FOLDS)])


def centred_cosines(first: np.ndarray, second: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """Cosine of every pair about the mean feature of all folds but one, for each of the ten.

    Args:
        first: (N, D), finite.
        second: (N, D), finite.
        folds: int, (N,), 0 to 9, none of them empty.

    Returns:
        float64, (N, 10), in [-1, 1]; column i leaves fold i out of the mean. 0 where a feature equals the mean.

    >>> first, second = np.array([[[1.0, 0.0]], [[1.0, 1.0]]]).repeat(20, 1)
    >>> second[::2] *= -1
    >>> centred_cosines(first, second, contiguous_folds(20)).shape
    (20, 10)
    """
    features = np.stack([first, second]).astype(np.float64)
    zero = _ZERO * np.einsum('pnd,pnd->pn', features, features).max()
    # About the mean of everything, the ten means are short, so that nothing cancels when products take the place of
    # subtracting each of them from all features: (a - m)(b - m) = ab - am - bm + mm.
    features -= features.mean((0, 1))
    others = (np.arange(FOLDS)[:, None] != folds).astype(np.float64)
    means = others @ features.sum(0) / (2 * others.sum(1, keepdims=True))
    along = features @ means.T
    mean_squares = (means**2).sum(1)
    squares = np.einsum('pnd,pnd->pn', features, features)[..., None] - 2 * along + mean_squares
    products = np.einsum('nd,nd->n', *features)[:, None] - along.sum(0) + mean_squares
    lengths = np.sqrt(squares.clip(0)).prod(0)
    cosines = np.divide(products, lengths, out=np.zeros_like(products), where=(squares > zero).all(0))
    return cosines.clip(-1, 1)


def best_threshold(scores: np.ndarray, same: np.ndarray) -> float:
    """The mean of those of 20,001 thresholds in [-1, 1] that tell most pairs right.

    Args:
        scores: (N,), in [-1, 1]; a pair is called the same person above the threshold.
        same: bool, (N,).

    >>> best_threshold(np.array([0.1, 0.7, 0.2999, 0.5]), np.array([False, True, False, True]))
    0.39995
    """
    # A threshold is right on a pair of two people from the pair's score upwards, and no longer right on one of one.
    gains = np.bincount(
        np.searchsorted(THRESHOLDS, scores), weights=np.where(same, -1, 1), minlength=len(THRESHOLDS)
    ).cumsum()
    return float(THRESHOLDS[gains == gains.max()].mean())


def roc(scores: np.ndarray, same: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """False and true accept rates as the threshold falls from the highest score.

    Args:
        scores: (N,).
        same: bool, (N,), of both kinds.

    Returns:
        False accept rates, true accept rates and the thresholds above which they accept: (K,) each, one more than there
        are different scores. The rates ascend from 0 to 1; the last threshold is -inf.

    >>> far, tar, thresholds = roc(np.array([0.9, 0.2, 0.2]), np.array([True, True, False]))
    >>> far.tolist(), tar.tolist(), thresholds.tolist()
    ([0.0, 0.0, 1.0], [0.0, 0.5, 1.0], [0.9, 0.2, -inf])
    """
    different, index = np.unique(-scores, return_inverse=True)
    accepted = [np.bincount(index[kind], minlength=len(different)).cumsum() for kind in (~same, same)]
    far, tar = (np.concatenate([[0], counts / counts[-1]]) for counts in accepted)
    return far, tar, np.append(-different, -np.inf)


def tar_at_far(far: np.ndarray, tar: np.ndarray, target: float) -> float:
    """The largest true accept rate whose false accept rate does not exceed `target`.

    Nothing is interpolated. With the 3,000 pairs of two people of AgeDB-30, a rate of 1e-3 means at most 3 false
    accepts, and 1e-4 means none at all: one is already 3.3e-4.

    Args:
        far: (K,), ascending from 0, see :func:`roc`.
        tar: (K,), ascending.
        target: In [0, 1].

    >>> tar_at_far(np.array([0, 0, 0.5, 1]), np.array([0, 0.4, 0.8, 1]), 0.1)
    0.4
    """
    return float(tar[far <= target].max())
