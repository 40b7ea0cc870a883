"""Face identification, closed set: at which rank the gallery holds a probe's person (TinyFace, table 2)."""

import numpy as np

from askd_mmdet.training.settings import check_number

# Two float64 inner products of the same unit vectors differ by less, whatever the order of their sums (D * 2**-53), and
# hardly ever do those of different faces.
_ROUNDING = 1e-12


def identification_ranks(
    probes: np.ndarray,
    probe_labels: np.ndarray,
    gallery: np.ndarray,
    gallery_labels: np.ndarray,
    block: int = 2048,
) -> np.ndarray:
    """Rank of the best mate of every probe: 1 + the number of other persons' faces that are at least as similar.

    Similarity is the inner product of normalised embeddings. A tie counts against the probe, so that an embedding that
    is the same for all faces identifies nobody. The gallery is read block by block, twice where it holds mates.

    Args:
        probes: (P, D), of any floating type; computed in float64.
        probe_labels: int (P,).
        gallery: (G, D), an array or anything else that gives arrays for slices, as np.memmap.
        gallery_labels: int (G,); distractors have a label that no probe has.
        block: Gallery faces that are compared at a time.

    Returns:
        int64 (P,), from 1; 0 for a probe without a mate.

    Raises:
        ValueError: When shapes do not fit, or an embedding is not finite.

    Example:
        >>> gallery = np.array([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]])
        >>> identification_ranks(np.array([[1.0, 0.1], [0.0, 2.0]]), [5, 8], gallery, [5, -100, 8])
        array([1, 2])
    """
    check_number('identification_ranks', 'block', block, whole=True, at_least=1)
    probe_labels, gallery_labels = np.asarray(probe_labels), np.asarray(gallery_labels)
    if (
        np.ndim(probes) != 2
        or gallery.shape[1:] != probes.shape[1:]
        or len(probes) != len(probe_labels)
        or len(gallery) != len(gallery_labels)
    ):
        raise ValueError(
            f'found {np.shape(probes)} embeddings and {len(probe_labels)} labels of probes, {gallery.shape} embeddings '
            f'and {len(gallery_labels)} labels of gallery faces, expected (N, D) embeddings and N labels of each'
        )
    probes = _normalise(probes, 'probes', 0)
    parts = [slice(start, start + block) for start in range(0, len(gallery), block)]
    known = np.isin(gallery_labels, probe_labels)

    def compare(part):
        similarity = probes @ _normalise(gallery[part], 'gallery faces', part.start).T
        return similarity, probe_labels[:, None] == gallery_labels[part]

    best = np.full(len(probes), -np.inf)
    for part in parts:
        if known[part].any():
            similarity, mate = compare(part)
            np.maximum(best, np.where(mate, similarity, -np.inf).max(1), out=best)
    ranks = np.ones(len(probes), np.int64)
    for part in parts:
        similarity, mate = compare(part)
        ranks += ((similarity >= best[:, None] - _ROUNDING) & ~mate).sum(1)
    return np.where(np.isfinite(best), ranks, 0)


def _normalise(embeddings, kind, start):
    embeddings = np.asarray(embeddings, np.float64)
    lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
    if len(bad := np.flatnonzero(~np.isfinite(lengths))):
        raise ValueError(
            f'the embeddings of {len(bad)} {kind} are not finite, first those at {(start + bad[:5]).tolist()}'
        )
    return embeddings / np.maximum(lengths, np.finfo(np.float64).tiny)


def match_characteristic(ranks: np.ndarray, length: int | None = None) -> np.ndarray:
    """Cumulative match characteristic (CMC): the share of probes whose rank is at most 1, 2, ..., `length`.

    Args:
        ranks: int (P,), from 1.
        length: By default the greatest rank.

    Returns:
        float64 (length,), ascending, in [0, 1].

    Raises:
        ValueError: When there is no probe, one has no mate (rank 0), or `length` is less than 1.

    Example:
        >>> match_characteristic(np.array([1, 3, 1, 4]))
        array([0.5 , 0.5 , 0.75, 1.  ])
    """
    ranks = np.asarray(ranks)
    if not len(ranks):
        raise ValueError('found no probe with a mate in the gallery, expected at least one')
    if ranks.min() < 1:
        raise ValueError(f'found ranks from {ranks.min()}, expected them from 1; leave out the probes without a mate')
    length = ranks.max() if length is None else length
    check_number('match_characteristic', 'length', length, whole=True, at_least=1)
    return (np.bincount(ranks, minlength=length + 1).cumsum() / len(ranks))[1 : length + 1]
