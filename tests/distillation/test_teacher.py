"""The folded teacher puts out what the network as built does, or is not folded."""

import copy

import pytest
import torch
from mmengine.model import BaseModel
from torch import nn

from askd_mmdet.distillation.teacher import Teacher


class Network(BaseModel):
    """Convolutions and norms of which some follow each other in name, and some in fact."""

    def __init__(self, norm_first=False, channels=4):
        super().__init__()
        self.norm_first = norm_first
        self.conv = nn.Conv2d(3, channels, 3)
        self.bn = nn.BatchNorm2d(3 if norm_first else channels)
        self.last = nn.Sequential(nn.Conv2d(channels, 3, 3), nn.ReLU(), nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3))

    def forward(self, inputs, mode='tensor'):
        x = self.conv(self.bn(inputs)) if self.norm_first else self.bn(self.conv(inputs))
        return self.last(x)


def network(**options):
    """A network whose norms do something."""
    torch.manual_seed(0)
    model = Network(**options)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight.data, module.bias.data, module.running_mean, module.running_var):
                tensor.uniform_(0.5, 2)
    return model


def norms(model):
    return [name for name, module in model.named_modules() if isinstance(module, nn.BatchNorm2d)]


def see(patterns, counts, **options):
    images = torch.rand(2, 3, 8, 8)
    model = network(**options)
    plain = copy.deepcopy(model).eval()
    outputs = {}
    for name, module in plain.named_modules():
        module.register_forward_hook(lambda module, inputs, output, name=name: outputs.update({name: output}))
    teacher = Teacher(model, patterns)
    with torch.no_grad():
        plain(images)
    return teacher, [teacher.see(images, counts) for _ in range(2)], outputs


def test_until_pictures_have_decided_others_are_shown_the_network_as_built():
    """A store's teacher may see none, and one that is folded wrongly would be shown what others show it."""
    teacher = Teacher(network(norm_first=True, channels=3), dict(x='last.3'))
    assert norms(teacher.tested) == ['bn', 'last.3'] != norms(teacher.model)
    images = torch.rand(2, 3, 8, 8)
    assert torch.equal(teacher.tested(images), network(norm_first=True, channels=3).eval()(images))


@pytest.mark.parametrize('tap', ['bn', 'last.1', 'last.3'])
def test_folded_it_puts_out_the_same(tap):
    teacher, seen, plain = see(dict(x=tap), dict(x=1))
    assert norms(teacher.model) == []
    for outputs in seen:
        torch.testing.assert_close(outputs['x'][0], plain[tap], rtol=1e-4, atol=1e-5)
        assert not outputs['x'][0].requires_grad


def test_a_tap_on_the_convolution_itself_keeps_the_network_as_built():
    teacher, seen, plain = see(dict(x='conv', y='last.3'), dict(x=1, y=1))
    assert norms(teacher.model) == ['bn', 'last.3']
    for outputs in seen:
        assert torch.equal(outputs['x'][0], plain['conv']) and torch.equal(outputs['y'][0], plain['last.3'])


@pytest.mark.parametrize('channels', [3, 4], ids=['folding-goes-wrong-silently', 'folding-fails'])
def test_a_norm_named_after_a_convolution_but_run_before_it_keeps_the_network_as_built(channels):
    teacher, seen, plain = see(dict(x='last.3'), dict(x=1), norm_first=True, channels=channels)
    assert norms(teacher.model) == ['bn', 'last.3']
    for outputs in seen:
        assert torch.equal(outputs['x'][0], plain['last.3'])


@pytest.mark.parametrize('norm_first', [False, True])
def test_in_two_bytes_it_puts_out_almost_the_same(norm_first):
    """Eight bits of mantissa are 0.4 %; its images, its weights and its norms keep their four bytes."""
    images, model = torch.rand(2, 3, 8, 8), network(norm_first=norm_first)
    exact, coarse = (
        Teacher(copy.deepcopy(model), dict(x='last.2'), dtype) for dtype in (torch.float32, torch.bfloat16)
    )
    for _ in range(2):
        a, b = (teacher.see(images, dict(x=1))['x'][0] for teacher in (exact, coarse))
        assert (a.dtype, b.dtype) == (torch.float32, torch.bfloat16)
        assert 0 < torch.dist(a, b.float()) / a.norm() < 0.01
    assert all(parameter.dtype == torch.float32 for parameter in coarse.model.parameters())


class ContiguousOnly(nn.Module):
    """Like mmcv's deformable convolutions."""

    def forward(self, x):
        if not x.is_contiguous():
            raise RuntimeError('input must be contiguous')
        return x.clone()


def test_an_operator_that_takes_one_layout_alone_keeps_the_network_as_built():
    model = network()
    model.last[1] = ContiguousOnly()
    images = torch.rand(2, 3, 8, 8)
    expected = copy.deepcopy(model).eval()(images)
    teacher = Teacher(model, dict(x='last.3'))
    for _ in range(2):
        assert torch.equal(teacher.see(images, dict(x=1))['x'][0], expected)
    assert norms(teacher.model) == ['bn', 'last.3']
