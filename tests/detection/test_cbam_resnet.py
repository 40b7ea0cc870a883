"""MMDetection's ResNet with CBAM in every kind of block, against mmdet's own ResNet and torchvision's weights."""

import pytest
import torch
import torchvision
from mmdet.models.backbones import ResNet
from torch import nn

from askd_mmdet.attention import CBAM
from askd_mmdet.detection import CBAMResNet

SMALL = dict(stem_channels=4, base_channels=8)


def silent(network):
    """The network with attention maps of 0, so that every CBAM multiplies by 1/2 twice, and norms that do something."""
    for module in network.modules():
        if isinstance(module, CBAM):
            for parameter in module.parameters():
                nn.init.zeros_(parameter)
        elif isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight.data, module.bias.data, module.running_mean, module.running_var):
                tensor.uniform_(0.5, 1.5)
    return network


@pytest.mark.parametrize(
    'depth, attention, halved',
    [(18, 'conv', (1, 2)), (34, 'block', (2,)), (50, 'conv', (2,)), (50, 'block', (3,))],
)
def test_it_is_mmdets_resnet_with_a_factor_after_the_norms_that_cbam_follows(depth, attention, halved):
    """A norm's weight and bias divided by 4 do what a silent CBAM after it does."""
    network = silent(CBAMResNet(depth, attention, **SMALL))
    stock = ResNet(depth, **SMALL)
    assert not stock.load_state_dict(network.state_dict(), strict=False).missing_keys
    for i in range(1, 5):
        for block in getattr(stock, f'layer{i}'):
            for number in halved:
                norm = getattr(block, f'bn{number}')
                norm.weight.data /= 4
                norm.bias.data /= 4
    network.eval(), stock.eval()  # mmdet's return nothing
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        for found, expected in zip(network(images), stock(images), strict=True):
            torch.testing.assert_close(found, expected)
            assert expected.any()


def test_it_loads_torchvisions_resnet_18_under_its_names(tmp_path):
    published = torchvision.models.resnet18().state_dict()
    torch.save(published, tmp_path / 'resnet18.pth')
    network = CBAMResNet(18, init_cfg=dict(type='Pretrained', checkpoint=str(tmp_path / 'resnet18.pth')))
    network.init_weights()
    found = network.state_dict()
    backbone = {name: value for name, value in published.items() if not name.startswith('fc.')}
    assert all(torch.equal(found[name], value) for name, value in backbone.items())
    assert {name.split('.')[2] for name in found.keys() - backbone.keys()} == {'cbam1', 'cbam2'}


def test_frozen_stages_are_frozen_with_their_attention_from_the_start():
    """DDP takes down what needs a gradient before the first call of train."""
    network = CBAMResNet(18, frozen_stages=1, **SMALL)
    for name, parameter in network.named_parameters():
        assert parameter.requires_grad == name.startswith(('layer2', 'layer3', 'layer4'))


def test_new_blocks_do_not_begin_with_zeros():
    """mmdet starts the last norm of a block at 0, before which the attention would see nothing."""
    network = CBAMResNet(18, 'block', **SMALL)
    network.init_weights()
    assert all((module.weight == 1).all() for module in network.modules() if isinstance(module, nn.BatchNorm2d))


def test_another_attention_is_refused():
    with pytest.raises(ValueError, match="CBAMResNet: found attention='after_conv2', expected 'conv' or 'block'"):
        CBAMResNet(18, 'after_conv2', **SMALL)
