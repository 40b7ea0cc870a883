"""The recognition network against the authors' architecture, written down here once more from its description."""

import pytest
import torch
from mmengine.registry import MODELS

from askd_mmdet.attention import CBAM
from askd_mmdet.recognition.ir_resnet import IRResNet
from tests.recognition.authors_network import AuthorsNetwork


def test_the_depths_have_the_authors_blocks():
    with torch.device('meta'):
        for depth, blocks in ((18, (2, 2, 2, 2)), (50, (3, 4, 14, 3)), (100, (3, 13, 30, 3)), (152, (3, 8, 36, 3))):
            network = IRResNet(depth)
            assert tuple(len(getattr(network, f'layer{i}')) for i in range(1, 5)) == blocks


@pytest.mark.parametrize('attention, per_block', [('block', 1), ('conv', 2)])
def test_cbam_follows_every_block_or_every_3x3_convolution(attention, per_block):
    with torch.device('meta'):
        network = IRResNet(50, attention, cbam=dict(type='CBAM', kernel_size=7))
    assert sum(isinstance(m, CBAM) for m in network.modules()) == 24 * per_block
    for i in range(1, 5):
        for block in getattr(network, f'layer{i}'):
            kinds = [type(module).__name__ for module in block.res_layer]
            inserted = ['CBAM'] if attention == 'conv' else []
            assert kinds == [
                *('BatchNorm2d', 'Conv2d', 'BatchNorm2d', *inserted, 'PReLU', 'Conv2d', 'BatchNorm2d', 'CBAM')
            ]
            assert all(m.spatial_attention.conv.kernel_size == (7, 7) for m in block.res_layer if isinstance(m, CBAM))


def test_a_network_has_as_many_parameters_as_the_authors():
    with torch.device('meta'):
        for depth in (18, 50, 100):
            ours, theirs = (
                sum(p.numel() for p in net.parameters()) for net in (IRResNet(depth), AuthorsNetwork(depth))
            )
            assert ours == theirs


def test_every_parameter_of_a_small_network_gets_a_gradient():
    torch.manual_seed(0)
    network = MODELS.build(
        dict(type='mmpretrain.IRResNet', depth=18, attention='conv', base_channels=4, input_size=32, embedding_dims=8)
    )
    network.init_weights()
    bound = (6 / (3 * 9 + 4 * 9)) ** 0.5  # Xavier: sqrt(6 / (fan in + fan out))
    assert network.input_layer[0].weight.abs().max() <= bound and network.input_layer[0].weight.std() > bound / 3
    (embedding,) = network(torch.randn(4, 3, 32, 32))
    assert embedding.shape == (4, 8)
    (embedding * torch.randn(4, 8)).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


@pytest.mark.parametrize(
    'settings, message',
    [
        (dict(depth=34), 'found depth=34, expected 18, 50, 100 or 152'),
        (dict(depth=18, attention='stage'), "found attention='stage', expected 'block' or 'conv'"),
        (dict(depth=18, input_size=100), 'found input_size=100, expected a multiple of 16'),
    ],
)
def test_wrong_settings_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        IRResNet(**settings)


def test_an_image_of_another_size_is_refused():
    network = IRResNet(18, base_channels=4, input_size=32)
    with pytest.raises(ValueError, match=r'found images of 32x48 pixels, expected 32x32.*Resize'):
        network(torch.zeros(1, 3, 32, 48))
