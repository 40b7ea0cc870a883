"""How trainings went: losses, metrics and correlations over the epochs, and what they cost."""

from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.figure import Figure

from askd_mmdet.analysis.plots import line, panels, runs_legend
from askd_mmdet.analysis.runs import Group, Run
from askd_mmdet.analysis.tables import base_of

CORRELATION = 'correlation/'


def plot_losses(groups: Sequence[Group]) -> list[Figure]:
    """Every loss term over the training steps."""
    names = dict.fromkeys(
        name for group in groups for run in group.runs for each in run.steps.values() for name in each if 'loss' in name
    )
    return [_plot(groups, name, lambda run: run.steps, 'training step') for name in names]


def plot_metrics(groups: Sequence[Group]) -> list[Figure]:
    """Every metric of the validations over the epochs."""
    names = [name for name in _validated(groups) if not name.startswith(CORRELATION)]
    return [_plot(groups, name, lambda run: run.validations, 'epoch') for name in names]


def metric_table(groups: Sequence[Group], metric: str, columns: int = 8) -> tuple[list[str], list[list[str]]]:
    """Head and rows: a metric of the validations at some of the epochs, the last among them, where all trainings of a
    network have it. Its mean over seeds, and in brackets the difference to that of the base, over the seeds of both.
    """
    curves = {
        group: {
            run.seed: {at: each[metric] for at, each in run.validations.items() if metric in each} for run in group.runs
        }
        for group in groups
    }
    epochs = sorted({at for seeds in curves.values() for curve in seeds.values() for at in curve}, reverse=True)
    epochs = epochs[:: max(1, -(-len(epochs) // columns))][::-1]
    rows = []
    for group, seeds in curves.items():
        base = curves.get(base_of(group, groups), {})
        cells = [_mean_and_gain(seeds, base, epoch) for epoch in epochs]
        rows += [[group.label, *cells]] if any(cells) else []
    return ['network', *(f'epoch {epoch}' for epoch in epochs)], rows


def _mean_and_gain(seeds, base, epoch):
    if not all(epoch in curve for curve in seeds.values()):
        return ''
    mean = f'{np.mean([curve[epoch] for curve in seeds.values()]):.2f}'
    gains = [seeds[seed][epoch] - base[seed][epoch] for seed in seeds if epoch in base.get(seed, {})]
    return f'{mean} ({np.mean(gains):+.2f})' if gains else mean


def plot_correlations_over_epochs(groups: Sequence[Group]) -> list[Figure]:
    """What the correlation hook logged over the epochs."""
    names = [name for name in _validated(groups) if name.startswith(CORRELATION)]
    return [_plot(groups, name, lambda run: run.validations, 'epoch') for name in names]


def _validated(groups):
    return dict.fromkeys(
        name for group in groups for run in group.runs for each in run.validations.values() for name in each
    )


def _plot(groups: Sequence[Group], name: str, series: Callable[[Run], dict], unit: str) -> Figure:
    """The mean over the seeds of every group, and each seed in a thin line."""
    figure, (axis,) = panels()
    labels = []
    for i, group in enumerate(groups):
        curves = [{at: each[name] for at, each in series(run).items() if name in each} for run in group.runs]
        curves = [curve for curve in curves if curve]
        style = line(i)
        for curve in curves if len(curves) > 1 else ():
            axis.plot(*zip(*_thinned(curve).items()), color=style['color'], linewidth=0.7, alpha=0.4)
        if shared := set.intersection(*map(set, curves)) if curves else ():
            mean = _thinned({at: np.mean([curve[at] for curve in curves]) for at in shared})
            axis.plot(*zip(*mean.items()), label=group.label, markevery=max(1, len(mean) // 6), **style)
            labels.append(group.label)
    axis.set(title=name.removeprefix(CORRELATION), xlabel=unit)
    runs_legend(axis, labels)
    return figure


def _thinned(curve, most=150):
    """At most so many points, the last one of those that are left out: more are not seen, and make a page heavy."""
    step = -(-len(curve) // most)
    return {at: curve[at] for at in sorted(curve)[::-1][::step][::-1]}


def cost_table(groups: Sequence[Group]) -> tuple[list[str], list[list[str]]]:
    """Head and rows: seconds a training step and megabytes on the GPU, medians over the steps of all seeds."""
    reference = next((group for group in groups if group.first.method == 'Base'), groups[0])
    rows, costs = [], {}
    for group in groups:
        steps = [each for run in group.runs for each in run.steps.values()]
        costs[group] = [
            float(np.median(found)) if (found := [each[key] for each in steps if key in each]) else None
            for key in ('time', 'memory')
        ]
    for group, (seconds, memory) in costs.items():
        known = seconds and costs[reference][0]
        rows.append(
            [
                group.label,
                f'{seconds:.3f}' if seconds else '',
                f'{seconds / costs[reference][0]:.2f}' if known else '',
                f'{memory:.0f}' if memory else 'on the CPU, not logged',
            ]
        )
    return ['network', 'seconds a step', f'times {reference.label}', 'megabytes on the GPU'], rows
