"""mmcv's operators, compiled for the GPU, against the CPU's and torchvision's."""

import pytest
import torch
from mmcv.ops import DeformConv2dPack, ModulatedDeformConv2dPack
from mmcv.ops import nms as mmcv_nms
from mmcv.ops import sigmoid_focal_loss as mmcv_focal_loss
from mmdet.models.losses.focal_loss import py_sigmoid_focal_loss
from torch.nn import functional as F
from torchvision.ops import nms

from askd_mmdet.detection import TorchvisionDCN


def run(layer, x):
    """What a layer puts out, and the gradients of its input and its weights."""
    layer.zero_grad()
    x = x.detach().requires_grad_()
    y = layer(x)
    (y * torch.linspace(-1, 1, y.numel()).view(y.shape).to(y)).sum().backward()
    return [value.detach().cpu() for value in (y, x.grad, *(weight.grad for weight in layer.parameters()))]


@pytest.mark.parametrize('kind', [DeformConv2dPack, ModulatedDeformConv2dPack, TorchvisionDCN])
def test_deformable_convolutions(device, without_tf32, kind):
    torch.manual_seed(0)
    layer = kind(16, 24, 3, padding=1, bias=False)
    torch.nn.init.normal_(layer.conv_offset.weight, std=0.05)
    x = torch.randn(2, 16, 20, 17)
    expected = run(layer, x)
    for a, b in zip(run(layer.to(device), x.to(device)), expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize('threshold', [0.3, 0.6])
def test_nms(device, threshold):
    generator = torch.Generator().manual_seed(0)
    corners = torch.rand(2000, 2, generator=generator) * 300
    boxes = torch.cat([corners, corners + 10 + torch.rand(2000, 2, generator=generator) * 60], 1)
    scores = torch.rand(2000, generator=generator)
    expected = nms(boxes, scores, threshold)
    found, kept = mmcv_nms(boxes.to(device), scores.to(device), threshold)
    assert 10 < len(expected) < 1990 and torch.equal(kept.cpu(), expected)
    assert torch.equal(found.cpu(), torch.cat([boxes, scores[:, None]], 1)[expected])


@pytest.mark.parametrize('dtype', [torch.float32, torch.float16])
def test_focal_loss(cuda, dtype):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(1000, 1, generator=generator).to(dtype)
    labels = torch.randint(2, (1000,), generator=generator)  # 1: background
    results = []
    for where, loss in (('cpu', py_sigmoid_focal_loss), ('cuda', mmcv_focal_loss)):
        x = logits.to(where, torch.float32 if where == 'cpu' else dtype).requires_grad_()
        if where == 'cpu':
            value = loss(x, F.one_hot(labels, 2)[:, :1], reduction='sum')
        else:
            value = loss(x, labels.cuda(), 2.0, 0.25, None, 'sum')
        value.backward()
        results.append((value.detach().float().cpu(), x.grad.float().cpu()))
    for a, b in zip(*results):
        torch.testing.assert_close(b, a, rtol=1e-3 if dtype == torch.float32 else 2e-2, atol=1e-3)


@pytest.mark.parametrize('operator', ['focal loss', 'deformable convolution'])
def test_bfloat16_is_what_they_lack(cuda, operator):
    """Else the detours by float32 could go."""
    layer = DeformConv2dPack(4, 4, 3, padding=1, bias=False).cuda().bfloat16()
    x, logits = torch.randn(1, 4, 8, 8, device='cuda').bfloat16(), torch.randn(8, 1, device='cuda').bfloat16()
    with pytest.raises(RuntimeError, match='BFloat16'):
        if operator == 'focal loss':
            mmcv_focal_loss(logits, torch.zeros(8, dtype=torch.long, device='cuda'), 2.0, 0.25, None, 'sum')
        else:
            layer(x)
