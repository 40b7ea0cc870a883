"""Whether networks that look where their teacher looks have the better results."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from scipy import stats

from askd_mmdet.analysis.correlation import Correlation
from askd_mmdet.analysis.plots import line, panels
from askd_mmdet.distillation.maps import last_blocks

FEWEST = 4  # trainings: the ranks of three are in order by chance once in three


class Agreement(NamedTuple):
    """A training: how well its maps agree with those of its teacher, and what came of it.

    Attributes:
        label: Of the network.
        seed: Of the training.
        r: For each kind of map the correlation with the teacher's, in [-1, 1], averaged over the last maps of the
            stages that have one.
        result: Of its test, in %.
    """

    label: str
    seed: int | None
    r: dict[str, float]
    result: float


def mean_correlations(found: dict[str, dict[str, Correlation]]) -> dict[str, float]:
    """What :func:`~askd_mmdet.analysis.attention.correlate` found, averaged over stages; constant maps do not count."""
    known = {
        kind: [each.r for each in taps.values() if each.r is not None] for kind, taps in last_blocks(found).items()
    }
    return {kind: float(np.mean(numbers)) for kind, numbers in known.items() if numbers}


def rank_correlation(trainings: Sequence[Agreement], kind: str) -> tuple[float, float, int] | None:
    """Spearman's between agreement and result, and how probable one as far from 0 is where nothing connects them.

    Args:
        trainings: Of which some may lack the kind of map.
        kind: Of map.

    Returns:
        The correlation; its p-value, over all orders of up to 7 trainings and over 9999 drawn ones of more; and of how
        many trainings it is. None of fewer than `FEWEST`, or where all agree alike or all results are one.
    """
    points = [(each.r[kind], each.result) for each in trainings if kind in each.r]
    if len(points) < FEWEST or any(len(set(numbers)) == 1 for numbers in zip(*points)):
        return None
    x, y = (stats.zscore(stats.rankdata(numbers)) for numbers in zip(*points))
    found = stats.permutation_test(
        (x,),
        lambda x, axis: (x * y).mean(axis),
        permutation_type='pairings',
        vectorized=True,
        random_state=0,
    )
    return float(found.statistic), float(found.pvalue), len(points)


def describe(trainings: Sequence[Agreement], metric: str, setting: str) -> list[str]:
    """The rank correlation of each kind of map, in a sentence each."""
    sentences = []
    for kind in dict.fromkeys(kind for each in trainings for kind in each.r):
        if found := rank_correlation(trainings, kind):
            rho, p, number = found
            sentences.append(
                f'At {setting}, over {number} trainings, the rank correlation between {metric} and how far {kind} '
                f"maps agree with the teacher's is {rho:+.2f} (p = {p:.2g})."
            )
    return sentences


def plot_agreement(trainings: Sequence[Agreement], metric: str) -> Figure:
    """A panel for each kind of map, a point for each training, a colour for each network."""
    kinds = list(dict.fromkeys(kind for each in trainings for kind in each.r))
    labels = list(dict.fromkeys(each.label for each in trainings))
    figure, axes = panels(1, len(kinds), size=(3.6, 3.0))
    for axis, kind in zip(axes, kinds):
        for i, label in enumerate(labels):
            points = [(each.r[kind], each.result) for each in trainings if each.label == label and kind in each.r]
            if points:
                axis.plot(*zip(*points), label=label, **dict(line(i), linestyle=''))
        axis.set(title=f'{kind} maps', xlabel='mean correlation with the teacher', ylabel=metric)
    figure.legend(*axes[0].get_legend_handles_labels(), loc='outside right upper', fontsize=8, frameon=False)
    return figure
