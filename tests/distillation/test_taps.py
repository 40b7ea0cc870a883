"""Taps collect in running order, stop the model at the last one, and name what they cannot find."""

import pytest
import torch
from torch import nn

from askd_mmdet.attention import CBAM
from askd_mmdet.distillation.taps import Taps

PATTERNS = dict(channel='*.channel_attention', spatial='*.spatial_attention')


def network():
    return nn.Sequential(nn.Conv2d(3, 4, 3), CBAM(4), nn.Conv2d(4, 6, 3), CBAM(6), nn.Conv2d(6, 2, 3))


def test_outputs_come_in_running_order_and_only_while_recording():
    model = network()
    taps = Taps(model, PATTERNS, 'student')
    model(torch.randn(2, 3, 12, 12))
    taps.start()
    model(torch.randn(2, 3, 12, 12))
    assert taps.counts() == dict(channel=2, spatial=2)
    outputs = taps.stop()
    assert [tuple(x.shape) for x in outputs['channel']] == [(2, 4, 1, 1), (2, 6, 1, 1)]
    assert [tuple(x.shape) for x in outputs['spatial']] == [(2, 1, 10, 10), (2, 1, 8, 8)]


def test_the_teacher_stops_at_the_last_tap():
    model = network()
    calls = []
    for layer in model:
        layer.register_forward_hook(lambda module, inputs, output: calls.append(type(module).__name__))
    taps = Taps(model, PATTERNS, 'teacher')
    with taps.recording(stop_at=dict(channel=2, spatial=2)):
        model(torch.randn(1, 3, 12, 12))
    # The second CBAM is left at its spatial attention; the last convolution never runs.
    assert calls == ['Conv2d', 'CBAM', 'Conv2d']
    assert len(taps.stop()['spatial']) == 2


def test_a_module_that_puts_out_several_tensors_gives_them_all():
    backbone = pytest.importorskip('mmdet.models').ResNet(18, base_channels=4)
    taps = Taps(nn.ModuleDict(dict(backbone=backbone)), dict(stages='backbone'), 'student')
    taps.start()
    backbone(torch.randn(1, 3, 64, 64))
    assert [x.shape[1] for x in taps.stop()['stages']] == [4, 8, 16, 32]


def test_taps_that_match_nothing_are_refused_with_similar_names():
    with pytest.raises(ValueError, match=r"channel='\*\.chanel_attention' matches no module of the student") as error:
        Taps(network(), dict(channel='*.chanel_attention'), 'student')
    assert 'channel_attention' in str(error.value).split('similar names')[1]


@pytest.mark.parametrize('expected', [dict(channel=1, spatial=2), dict(channel=3, spatial=3)])
def test_taps_that_fire_unequally_often_are_refused(expected):
    model = network()
    taps = Taps(model, PATTERNS, 'teacher')
    with (
        pytest.raises(ValueError, match='do not fire equally often'),
        taps.recording(stop_at=expected),
    ):
        model(torch.randn(1, 3, 12, 12))


@pytest.mark.parametrize('depth', [18, 50])
def test_what_activation_checkpointing_recomputes_is_refused_and_nothing_else(depth):
    """The truth is torch's: what runs while gradients are off runs again in the backward pass."""
    resnet = pytest.importorskip('mmdet.models').ResNet
    model = nn.ModuleDict(dict(backbone=resnet(depth, base_channels=8, with_cp=True)))
    without, images = set(), torch.randn(2, 3, 64, 64)
    for name, module in model.named_modules():
        module.register_forward_hook(lambda *_, name=name: None if torch.is_grad_enabled() else without.add(name))
    model.backbone(images)
    assert 'backbone.layer1.0.conv2' in without and not {'backbone.layer1', 'backbone.layer1.0', 'backbone'} & without
    for name in ('backbone.conv1', 'backbone.layer1', 'backbone.layer1.0', 'backbone.layer1.0.conv2'):
        taps = Taps(model, dict(x=name), 'student')
        taps.start()
        if name in without:
            with pytest.raises(ValueError, match=f'recomputes {name!r} in the backward pass.*with_cp=False'):
                model.backbone(images)
        else:
            model.backbone(images)
        assert bool(taps.stop()['x']) == (name not in without)


def test_an_output_that_is_no_tensor_is_refused_by_name():
    class Head(nn.Module):
        def forward(self, x):
            return [x], [x]

    taps = Taps(nn.Sequential(head := Head()), dict(logits='0'), 'student')
    taps.start()
    with pytest.raises(ValueError, match=r"'0' of the student puts out tuple, which is no tensor .*tap modules inside"):
        head(torch.ones(1))
