"""The time of an epoch, from steps that take as long as the test says."""

from itertools import accumulate

import pytest
import torch

from askd_mmdet.experiments import estimate
from askd_mmdet.toy import make_picture_classes
from tests.classification.test_training import toy_config


@pytest.mark.parametrize('method, forwards', [(None, 0), ('kd', 4)])
def test_an_epoch_takes_its_steps_times_the_median_step(tmp_path, monkeypatch, method, forwards):
    make_picture_classes(tmp_path / 'pictures', train_pictures=4, val_pictures=1)  # 36 pictures, 6 in a batch
    cfg = toy_config(tmp_path / 'pictures', tmp_path, 4, method, tmp_path / 'not trained yet.pth')
    # Two readings of the clock for a step: 100 s for the first, then 1, 2 and 9.
    ticks = accumulate([0, 100, 0, 1, 0, 2, 0, 9])
    monkeypatch.setattr(estimate, '_now', lambda: next(ticks))
    modes = []
    forward = estimate.RUNNERS.get('SafeRunner').build_model

    def build_model(runner, model):
        built = forward(runner, model)
        built.register_forward_pre_hook(lambda m, args, kwargs: modes.append(kwargs.get('mode')), with_kwargs=True)
        return built

    monkeypatch.setattr(estimate.RUNNERS.get('SafeRunner'), 'build_model', build_model)
    assert estimate.seconds_of(cfg, steps=3) == pytest.approx(6 * 2)
    assert modes.count('loss') == 4 and modes.count('tensor') == forwards


def test_steps_are_as_precise_as_those_of_the_training(tmp_path, monkeypatch):
    make_picture_classes(tmp_path / 'pictures', train_pictures=4, val_pictures=1)
    cfg = toy_config(tmp_path / 'pictures', tmp_path, 4, 'kd', tmp_path / 'not trained yet.pth', amp='bfloat16')
    types = set()
    build_model = estimate.RUNNERS.get('SafeRunner').build_model

    def watched(runner, model):
        built = build_model(runner, model)
        built.backbone.layer1.register_forward_hook(lambda module, inputs, output: types.add(output.dtype))
        return built

    monkeypatch.setattr(estimate.RUNNERS.get('SafeRunner'), 'build_model', watched)
    assert estimate.seconds_of(cfg, steps=1) > 0
    assert types == {torch.bfloat16}
