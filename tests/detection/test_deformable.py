"""Our deformable convolution is mmcv's, and runs where mmcv's does not."""

import pytest
import torch
from mmcv.ops import DeformConv2dPack

from askd_mmdet.detection import TorchvisionDCN


def pair(**options):
    """mmcv's layer and ours, with the same weights and offsets of some pixels."""
    torch.manual_seed(0)
    theirs, ours = (kind(8, 12, 3, padding=1, bias=False, **options) for kind in (DeformConv2dPack, TorchvisionDCN))
    torch.nn.init.normal_(theirs.conv_offset.weight, std=0.1)
    ours.load_state_dict(theirs.state_dict())
    return theirs, ours


def run(layer, x):
    """What it puts out, and the gradients of its input and its weights."""
    x = x.detach().requires_grad_()
    y = layer(x)
    (y * torch.linspace(-1, 1, y.numel()).view(y.shape)).sum().backward()
    return [y.detach(), x.grad, *(weight.grad for weight in layer.parameters())]


@pytest.mark.parametrize('options', [{}, dict(stride=2), dict(groups=4), dict(deform_groups=2)])
@pytest.mark.parametrize('layout', [torch.contiguous_format, torch.channels_last])
def test_it_is_the_layer_of_mmcv_in_any_layout(options, layout):
    theirs, ours = pair(**options)
    x = torch.randn(2, 8, 7, 6)
    expected = run(theirs, x)
    found = run(ours.to(memory_format=layout), x.contiguous(memory_format=layout))
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_under_autocast_it_samples_in_float32_where_mmcv_has_no_operator():
    theirs, ours = pair()
    # Offsets that bfloat16 holds exactly, so that the sampling alone is compared.
    for layer in (theirs, ours):
        torch.nn.init.zeros_(layer.conv_offset.weight)
        torch.nn.init.constant_(layer.conv_offset.bias, 0.25)
    x = torch.randn(2, 8, 7, 6)
    expected = theirs(x)
    with torch.autocast('cpu', torch.bfloat16):
        found = ours(x)
        with pytest.raises(RuntimeError, match='BFloat16'):
            theirs(x)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
