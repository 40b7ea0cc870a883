"""Curves over many steps, and their mean over seeds of which one is not finished."""

from pathlib import Path

import numpy as np
import pytest

from askd_mmdet.analysis.curves import metric_table, plot_losses
from askd_mmdet.analysis.runs import Group, Run, group_runs
from askd_mmdet.training.config import load_config


@pytest.mark.parametrize('steps', [(400, 400), (400, 399), (400, 330), (3, 2)])
def test_the_mean_is_of_the_steps_that_all_seeds_have(steps):
    cfg = load_config('askd_mmdet::toy/resnet18-cbam_toy.py')
    losses = [{step: 10 * seed + step**0.5 for step in range(1, last + 1)} for seed, last in enumerate(steps)]
    runs = [Run(Path(), cfg, {step: dict(loss=value) for step, value in each.items()}) for each in losses]
    (figure,) = plot_losses([Group('Base', runs)])
    *seeds, mean = figure.axes[0].get_lines()
    assert len(seeds) == 2 and mean.get_label() == 'Base'
    assert [line.get_xdata()[-1] for line in (*seeds, mean)] == [*steps, min(steps)]
    assert all(len(line.get_xdata()) <= 150 for line in (*seeds, mean)) and len(mean.get_xdata()) >= min(min(steps), 75)
    np.testing.assert_allclose(mean.get_ydata(), 5 + mean.get_xdata() ** 0.5)


def test_a_gain_at_an_epoch_is_of_the_seeds_of_both():
    def run(ending, seed, *values):
        cfg = load_config(f'askd_mmdet::classification/resnet18-cbam_cifar10-4x{ending}.py')
        cfg.randomness.seed = seed
        return Run(Path(f'{ending}/seed{seed}'), cfg, validations=dict(enumerate(({'top1': x} for x in values), 1)))

    bases = [run('', seed, *values) for seed, values in enumerate([(10, 20, 30, 40, 50), (20, 30, 40, 50), (0,) * 4])]
    students = [run('_askd', seed, *values) for seed, values in enumerate([(12, 24, 31, 40), (20, 28, 42, 44)])]
    unseen = run('_kd', 0)
    groups = group_runs([*bases, *students, unseen])
    head, rows = metric_table(groups, 'top1')
    assert head == ['network', *(f'epoch {epoch}' for epoch in range(1, 6))]
    assert rows == [
        ['Base 4x', '10.00', '16.67', '23.33', '30.00', ''],
        ['A-SKD 4x', '16.00 (+1.00)', '26.00 (+1.00)', '36.50 (+1.50)', '42.00 (-3.00)', ''],
    ]
    assert metric_table(groups, 'top1', columns=3)[0] == ['network', 'epoch 1', 'epoch 3', 'epoch 5']
    assert metric_table(groups, 'nothing') == (['network'], [])
