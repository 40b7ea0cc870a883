"""Which network is better, by how much and how sure that is, of runs that are there."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from askd_mmdet.analysis.runs import Group
from askd_mmdet.experiments.results import Figure, paired_difference


@dataclass(frozen=True)
class Difference:
    """A metric of a network beside that of the base of the same setting, over the seeds of both.

    Attributes:
        label: Of the network.
        base: The base's label.
        ours, theirs: Their means.
        interval: Half the 95 % confidence interval of the difference; None from a single seed.
        seeds: How many both were trained from.
    """

    label: str
    base: str
    ours: float
    theirs: float
    interval: float | None
    seeds: int

    @property
    def mean(self) -> float:
        """Of the difference, in points."""
        return self.ours - self.theirs

    @property
    def is_sure(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.interval is not None and abs(self.mean) > self.interval

    def __str__(self) -> str:
        """In a sentence that says as much as is known."""
        gain = f'{self.mean:.1f}'
        place = f'{gain.lstrip("-")} points {"below" if self.mean < 0 else "above"}' if float(gain) else 'level with'
        figures = f'({self.ours:.1f} against {self.theirs:.1f})'
        said = f'{self.label} is {place} {self.base} {figures}'
        if self.interval is None:
            return f'{said}, in one training of each: how much of that is the luck of a training is not known.'
        low, high = self.mean - self.interval, self.mean + self.interval
        sure = 'so it is hardly chance' if self.is_sure else 'so it may be chance'
        return f'{said} over {self.seeds} seeds; 95 % interval {low:+.1f} to {high:+.1f}, {sure}.'


def difference(group: Group, base: Group, metric: str) -> Difference | None:
    """None where no seed has the metric in both."""
    ours, theirs = group.values(metric), base.values(metric)
    shared = sorted(ours.keys() & theirs.keys())
    if not shared:
        return None
    means = (float(np.mean([values[seed] for seed in shared])) for values in (ours, theirs))
    return Difference(group.label, base.label, *means, paired_difference(ours, theirs)[1], len(shared))


def base_of(group: Group, groups: Sequence[Group]) -> Group | None:
    """What the group is compared with: the LR base of its kind; None for a base, or where there is none."""
    bases = [] if group.first.method == 'Base' else [other for other in groups if other.first.method == 'Base']
    return next((base for base in bases if base.first.kind == group.first.kind), None)


def metrics_of(groups: Sequence[Group]) -> list[str]:
    """The names of all metrics, in the order in which the runs have them."""
    return list(dict.fromkeys(name for group in groups for run in group.runs for name in run.metrics))


def short_names(metrics: Sequence[str]) -> dict[str, str]:
    """What a table calls metrics: without their prefix where that is the same for all.

    Example:
        >>> short_names(['wider_face/easy', 'wider_face/hard'])
        {'wider_face/easy': 'easy', 'wider_face/hard': 'hard'}
    """
    prefixes = {name.rpartition('/')[0] for name in metrics}
    return {name: name.rpartition('/')[2] if len(prefixes) == 1 else name.replace('/', ' ') for name in metrics}


def main_metric(groups: Sequence[Group], metrics: Sequence[str]) -> str | None:
    """The metric by which the trainings chose their best epoch, or the first there is."""
    chosen = [
        ((group.first.cfg.get('default_hooks') or {}).get('checkpoint') or {}).get('save_best') for group in groups
    ]
    return next((name for name in chosen if name in metrics), next(iter(metrics), None))


def results_table(groups: Sequence[Group], metrics: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    """Head and rows: for each group and metric the mean over seeds, and the difference to the base.

    The metric that decides comes first.
    """
    names, first = short_names(metrics), main_metric(groups, metrics)
    metrics = sorted(metrics, key=lambda name: name != first)
    compared = any(base_of(group, groups) for group in groups)
    head = ['network', 'seeds']
    for metric in metrics:
        head += [names[metric], *['gain over base'] * compared]
    rows = []
    for group in groups:
        base = base_of(group, groups)
        row = [group.label, str(max(len(group.values(metric)) for metric in metrics))]
        for metric in metrics:
            values = group.values(metric)
            gain = paired_difference(values, base.values(metric)) if base else ()
            row += _cells(values, gain, compared)
        rows.append(row)
        elsewhere = dict.fromkeys(at for run in group.runs for at in run.tested_at if at != run.resolution)
        for resolution in elsewhere:
            tests = {run.seed: run.tested_at[resolution] for run in group.runs if resolution in run.tested_at}
            row = [f'{group.label}, tested at {resolution}', str(len(tests))]
            for metric in metrics:
                row += _cells({seed: test[metric] for seed, test in tests.items() if metric in test}, (), compared)
            rows.append(row)
    return head, rows


def _cells(values, gain, compared):
    """A figure, and its gain where there is a column for it."""
    figure = Figure(values, *gain)
    cells = [figure.text, figure.gain] if values else ['', '']
    return cells if compared else cells[:1]
