"""Curves over many steps, and their mean over seeds of which one is not finished."""

from pathlib import Path

import numpy as np
import pytest

from askd_mmdet.analysis.curves import plot_losses
from askd_mmdet.analysis.runs import Group, Run
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
