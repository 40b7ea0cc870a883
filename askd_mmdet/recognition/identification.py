"""Closed-set identification, as TinyFace has it: a probe against a gallery full of distractors (table 3)."""

from collections.abc import Iterator

import numpy as np

# The label of gallery faces that are nobody's mates.
DISTRACTOR = -100
# Above what float64 rounds in a product of two unit vectors (D * 2**-53, 1e-13 for 1,024 numbers), so that the same
# picture twice is a tie wherever it stands, and below what a last bit of a float32 feature changes.
_TIE = 1e-12
# Gallery faces that are scored at once; with 3,700 probes their scores take 58 MiB.
_BLOCK = 2048


def identification_ranks(
    probes: np.ndarray, probe_labels: np.ndarray, gallery: np.ndarray, gallery_labels: np.ndarray
) -> np.ndarray:
    """The rank at which each probe meets its first mate, when the gallery is sorted by cosine similarity.

    That is 1 + the gallery faces of other labels whose cosine is not below that of the best mate. A tie counts against
    the probe, so that features which are all the same find nobody. Cosines are taken in float64; closer than 1e-12
    counts as a tie. A feature of zeros has a cosine of 0 with everything.

    Args:
        probes: (P, D), any scale.
        probe_labels: int, (P,).
        gallery: (G, D). Only slices `gallery[start:stop]` are taken, twice each, so that an `np.memmap` need not fit
            into memory. Beside it about P * (8 * D + 32,768) bytes are needed.
        gallery_labels: int, (G,); -100 for distractors, which are nobody's mates.

    Returns:
        int64, (P,), from 1 to G; 0 for a probe without a mate in the gallery.

    Raises:
        ValueError: When shapes do not fit or a feature is not finite.

    >>> gallery = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    >>> identification_ranks(np.array([[3.0, 0.1], [0.1, 3.0]]), [7, 7], gallery, [7, 8, -100])
    array([1, 3])
    """
    probe_labels, gallery_labels = np.asarray(probe_labels), np.asarray(gallery_labels)
    if (
        probes.ndim != 2
        or len(gallery.shape) != 2
        or probes.shape[1] != gallery.shape[1]
        or (probe_labels.shape, gallery_labels.shape) != (probes.shape[:1], gallery.shape[:1])
    ):
        raise ValueError(
            f'the probes are {probes.shape} with labels {probe_labels.shape}, the gallery is {gallery.shape} with '
            f'labels {gallery_labels.shape}; they should be (P, D) with (P,) and (G, D) with (G,)'
        )
    probes = _unit(probes, 'probe', 0)
    mates = np.isin(gallery_labels, probe_labels) & (gallery_labels != DISTRACTOR)
    best = np.full(len(probes), -np.inf)
    for faces, labels in _blocks(gallery, gallery_labels, mates):
        cosines = np.where(probe_labels[:, None] == labels, probes @ faces.T, -np.inf)
        best = np.maximum(best, cosines.max(1))

    mated = best > -np.inf
    ranks = mated.astype(np.int64)
    for faces, labels in _blocks(gallery, gallery_labels, np.full(len(gallery_labels), True)):
        better = probes[mated] @ faces.T >= best[mated, None] - _TIE
        better &= probe_labels[mated, None] != labels
        ranks[mated] += better.sum(1)
    return ranks


def _blocks(gallery: np.ndarray, labels: np.ndarray, chosen: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Unit vectors and labels of the chosen gallery faces, part by part."""
    for start in range(0, len(labels), _BLOCK):
        part = slice(start, start + _BLOCK)
        if chosen[part].any():
            yield _unit(gallery[part], 'gallery face', start)[chosen[part]], labels[part][chosen[part]]


def _unit(features: np.ndarray, kind: str, start: int) -> np.ndarray:
    """L2-normalise features (N, D), of which `start` come before, in float64."""
    features = np.asarray(features, np.float64)
    if len(broken := np.flatnonzero(~np.isfinite(features).all(1)) + start):
        raise ValueError(
            f'the features of {kind} {", ".join(map(str, broken[:5]))}{", ..." if len(broken) > 5 else ""} hold NaN or '
            'infinity; check the weights of the model'
        )
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    return features / np.where(lengths > 0, lengths, 1)


def cumulative_match(ranks: np.ndarray, size: int) -> np.ndarray:
    """The cumulative match characteristic (CMC): which fraction of the probes is found among the k best.

    Args:
        ranks: int, (P,), see :func:`identification_ranks`. Probes without a mate (rank 0) are left out; one whose rank
            is beyond `size` is never found.
        size: Of the gallery, G.

    Returns:
        (G,), ascending in [0, 1]; the one of rank k is at k - 1.

    Raises:
        ValueError: When no probe has a mate.

    >>> cumulative_match(np.array([1, 3, 0, 1, 2]), 4)
    array([0.5 , 0.75, 1.  , 1.  ])
    """
    mated = ranks[ranks > 0]
    if not len(mated):
        raise ValueError(
            f'none of {len(ranks)} probes has a mate among {size} gallery faces; '
            'probes and gallery should share labels (TinyFace: the number that file names begin with)'
        )
    return np.bincount(mated, minlength=size + 1)[1 : size + 1].cumsum() / len(mated)
