"""Training data in two parts, one of them kept from training: for the search for hyper-parameters (sec. 4.1)."""

import numpy as np
from mmengine.dataset import BaseDataset
from mmengine.registry import DATASETS

from askd_mmdet.training.settings import check_number, check_type

FOLDS = 10  # of the LFW protocol, each of which needs both kinds of pairs


def draw_held_out(groups: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """Which members are held out: those of some groups, drawn at random.

    Args:
        groups: The group of every member, (N,); where each has its own, members are drawn.
        fraction: Of the groups, in (0, 1); at least one is held out, and one is not.
        seed: The same seed gives the same groups.

    Returns:
        bool (N,).

    Raises:
        ValueError: When there are fewer than two groups.

    Example:
        >>> draw_held_out(np.array([7, 7, 3, 3, 5]), fraction=0.4, seed=0)
        array([ True,  True, False, False, False])
    """
    names = np.unique(groups)
    if len(names) < 2:
        raise ValueError(f'found {len(names)} of what is to be divided, expected at least 2')
    count = min(max(round(fraction * len(names)), 1), len(names) - 1)
    return np.isin(groups, np.random.default_rng(seed).permutation(names)[:count])


def draw_pairs(owners: np.ndarray, same: bool, count: int, rng: np.random.Generator) -> np.ndarray:
    """Different pairs of pictures at random, every pair as likely as another, without a list of all of them.

    Args:
        owners: The identity of every picture, (N,).
        same: Whether the two pictures of a pair show one identity, or two.
        count: How many; all where there are fewer.
        rng: The source of randomness.

    Returns:
        Numbers of pictures, int (count or fewer, 2), the smaller one of a pair first.

    Example:
        >>> draw_pairs(np.array([4, 4, 9]), same=True, count=5, rng=np.random.default_rng(0))
        array([[0, 1]])
    """
    # Side by side, the pictures of an identity are a range: the partner of one lies in it, or outside.
    order = np.argsort(owners, kind='stable')
    _, first, size = np.unique(owners[order], return_index=True, return_counts=True)
    first, size = np.repeat(first, size), np.repeat(size, size)
    if same:
        start, choices, gap, gap_size = first, size - 1, np.arange(len(order)), np.ones_like(size)
    else:
        start, choices, gap, gap_size = np.zeros_like(first), len(order) - size, first, size
    count = min(count, choices.sum() // 2)
    pairs = {}
    while len(pairs) < count:
        one = rng.choice(len(order), count, p=choices / choices.sum())
        other = start[one] + rng.integers(choices[one])
        other += gap_size[one] * (other >= gap[one])
        pairs.update(dict.fromkeys(map(tuple, np.sort(order[[one, other]], axis=0).T.tolist())))
    return np.array(list(pairs)[:count], int).reshape(-1, 2)


def balanced_pairs(owners: np.ndarray, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Pairs to verify: as many of one identity as of two, in turn, so that every fold has both kinds.

    Args:
        owners: The identity of every picture, (N,).
        count: How many, half of each kind; fewer where there are no more of one kind.
        seed: The same seed gives the same pairs.

    Returns:
        Numbers of pictures, int (M, 2), and whether they show one identity, bool (M,).

    Raises:
        ValueError: When there are too few of one kind for ten folds.
    """
    rng = np.random.default_rng(seed)
    kinds = [draw_pairs(owners, same, count // 2, rng) for same in (True, False)]
    for pairs, kind in zip(kinds, ('one identity', 'two identities')):
        if len(pairs) < FOLDS:
            raise ValueError(
                f'found {len(pairs)} pairs of {kind} among {len(owners)} pictures of {len(np.unique(owners))} '
                f'identities, expected {FOLDS}, one for each fold; hold out more, or ask for more pairs'
            )
    count = min(map(len, kinds))
    pairs = np.stack([pairs[:count] for pairs in kinds], 1).reshape(-1, 2)
    return pairs, np.tile([True, False], count)


@DATASETS.register_module()
def held_out_split(
    dataset: dict, part: str, fraction: float = 0.2, seed: int = 0, by: str | None = None, pairs: int = 0
) -> BaseDataset:
    """One of two parts of a training set, by name in a config where a data set is expected.

    Both parts come from the same settings, or they would not be parts of the same whole; they differ in the pipeline
    alone. Labels keep their numbers. The part that is held out is in test mode: each of its pictures is seen, and once.

    Args:
        dataset: Config of the whole, as for training.
        part: 'rest' or 'held_out'.
        fraction: How much is held out, in (0, 1).
        seed: The same seed gives the same parts.
        by: What is drawn: None for pictures, 'gt_label' for classes (identities) with all their pictures.
        pairs: Where it is not 0, the pictures that are held out are those of so many pairs to verify (fewer where there
            are no more). The metainfo has `pairs`, the numbers of their pictures, int (N, 2), and `same`, bool (N,), as
            VerificationMetric expects it. Needs `by='gt_label'`.

    Raises:
        ValueError: When an argument is out of range, there are too few pictures, identities or pairs, or none have
            labels.
    """
    check_type('held_out_split', 'dataset', dataset, dict)
    check_number('held_out_split', 'fraction', fraction, above=0, below=1)
    for name, value in dict(seed=seed, pairs=pairs).items():
        check_number('held_out_split', name, value, whole=True, at_least=0)
    if part not in ('rest', 'held_out') or by not in (None, 'gt_label') or (pairs and not by):
        raise ValueError(
            f'found part={part!r}, by={by!r} and pairs={pairs}, expected rest or held_out, None or gt_label, and 0 or '
            'more pairs, which need gt_label'
        )
    whole = DATASETS.build(dataset)
    kind = dataset['type']
    if not isinstance(whole, BaseDataset):
        raise ValueError(f'{kind} has no parts, being no BaseDataset of MMEngine; name the data set inside it')
    whole.full_init()
    groups = np.arange(len(whole))
    if by:
        try:
            groups = np.asarray(whole.get_gt_labels())
        except (AttributeError, KeyError):
            raise ValueError(f'the pictures of {kind} have no gt_label; divide them with by=None') from None
    try:
        chosen = draw_held_out(groups, fraction, seed)
        indices = np.flatnonzero(chosen if part == 'held_out' else ~chosen)
        if part == 'held_out' and pairs:
            numbers, same = balanced_pairs(groups[indices], pairs, seed)
            used, numbers = np.unique(numbers, return_inverse=True)
            indices = indices[used]
            whole._metainfo.update(pairs=numbers.reshape(-1, 2), same=same)
    except ValueError as error:
        how = 'by its labels' if by else 'picture by picture'
        raise ValueError(f'{kind} cannot be divided {how}: {error}') from error
    whole.get_subset_(indices.tolist())
    if part == 'held_out':
        whole.test_mode = True  # not by the config, since data sets in test mode leave nothing out
    return whole
