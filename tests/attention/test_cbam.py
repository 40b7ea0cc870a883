"""CBAM against eq. 3-6 worked out with numpy, and inside MMDetection's own ResNet."""

import numpy as np
import pytest
import torch
from scipy.signal import correlate2d
from scipy.special import expit

from askd_mmdet.attention import CBAM, ChannelAttention, SpatialAttention


def channel_map(module, x):
    """Eq. 5 for one image (C, H, W) in numpy."""
    first, _, second = module.mlp
    weight = [layer.weight.detach().numpy()[:, :, 0, 0].astype(float) for layer in (first, second)]
    bias = [0 if layer.bias is None else layer.bias.detach().numpy() for layer in (first, second)]

    def fc(v):
        return weight[1] @ np.maximum(weight[0] @ v + bias[0], 0) + bias[1]

    return expit(fc(x.mean((1, 2))) + fc(x.max((1, 2))))


def spatial_map(module, x):
    """Eq. 6 for one image (C, H, W) in numpy."""
    weight = module.conv.weight.detach().numpy()[0].astype(float)
    pooled = (x.mean(0), x.max(0))
    bias = 0 if module.conv.bias is None else module.conv.bias.item()
    return expit(sum(correlate2d(p, w, 'same') for p, w in zip(pooled, weight)) + bias)


@pytest.mark.parametrize(
    'channels, reduction, kernel_size, bias', [(8, 4, 7, False), (5, 16, 3, True), (1, 2, 5, True)]
)
def test_cbam_is_equations_3_to_6(channels, reduction, kernel_size, bias):
    torch.manual_seed(0)
    cbam = CBAM(channels, reduction, kernel_size, bias)
    x = torch.randn(2, channels, 9, 6)
    out = cbam(x)
    for image, result in zip(x.numpy().astype(float), out.detach().numpy()):
        refined = channel_map(cbam.channel_attention, image)[:, None, None] * image
        refined = spatial_map(cbam.spatial_attention, refined)[None] * refined
        np.testing.assert_allclose(result, refined, atol=1e-6)


def test_modules_hand_out_raw_maps_whose_sigmoid_is_the_paper_s():
    torch.manual_seed(0)
    x = torch.randn(1, 6, 8, 8)
    for module, truth in (
        (ChannelAttention(6, 2), channel_map),
        (SpatialAttention(7), spatial_map),
    ):
        raw = module(x)
        assert raw.min() < 0  # a sigmoid could not be
        np.testing.assert_allclose(raw.sigmoid().detach().numpy().squeeze(), truth(module, x[0].numpy()), atol=1e-6)


def test_an_even_kernel_is_refused():
    with pytest.raises(ValueError, match='odd kernel_size, got 4'):
        SpatialAttention(4)


@pytest.mark.parametrize('dcn', [None, dict(type='DCN', deform_groups=1, fallback_on_stride=False)])
def test_mmdet_resnet_takes_it_after_every_3x3_convolution(dcn):
    backbone = pytest.importorskip('mmdet.models').ResNet(
        depth=50,
        base_channels=8,
        zero_init_residual=False,  # so that a gradient reaches every block at the first step
        dcn=dcn,
        stage_with_dcn=(False, False, dcn is not None, dcn is not None),
        plugins=[dict(cfg=dict(type='CBAM', reduction=4), position='after_conv2')],
    )
    backbone.init_weights()
    blocks = [block for i in range(4) for block in getattr(backbone, f'layer{i + 1}')]
    assert len(blocks) == 16 and all(isinstance(block.cbam, CBAM) for block in blocks)

    seen = {}
    for i, block in enumerate(blocks):
        block.cbam.register_forward_hook(lambda module, inputs, output, i=i: seen.update({i: (inputs[0], output)}))
        block.conv3.register_forward_hook(lambda module, inputs, output, i=i: seen.update({('conv3', i): inputs[0]}))
    sum(out.mean() for out in backbone(torch.randn(1, 3, 128, 128))).backward()
    for i, block in enumerate(blocks):
        before, after = seen[i]
        assert seen['conv3', i] is after and before.shape == after.shape
        assert block.cbam.spatial_attention.conv.weight.grad.abs().sum() > 0
