"""The initial values of the real TinaFace networks, with and without a file of ImageNet weights."""

import math

import pytest
import torch
import torchvision
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from torch import nn

from askd_mmdet.attention import CBAM
from askd_mmdet.detection import InceptionContext

VARIANTS = ('bn', 'gn-dcn')


def build(root, variant, checkpoint=None):
    cfg = Config.fromfile(root / f'configs/detection/tinaface_r50-{variant}-cbam_widerface.py').model
    if checkpoint is None:
        cfg.backbone.init_cfg = None
    else:
        cfg.backbone.init_cfg.checkpoint = str(checkpoint)
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(cfg)
        model.init_weights()
    return model


@pytest.fixture(scope='module')
def imagenet(tmp_path_factory):
    """A file with torchvision's keys: a ResNet-50 without group norms, offsets and CBAM, its values all but initial."""
    weights = {}
    for name, value in torchvision.models.resnet50(weights=None).state_dict().items():
        weights[name] = torch.rand(value.shape) + 0.5 if value.is_floating_point() else value
    path = tmp_path_factory.mktemp('imagenet') / 'resnet50.pth'
    torch.save(weights, path)
    return path


@pytest.fixture(scope='module', params=[(v, p) for v in VARIANTS for p in ('random', 'file')], ids='-'.join)
def network(request, root):
    """Variant, whether the backbone's weights come from a file, and the model after `init_weights`."""
    variant, start = request.param
    path = request.getfixturevalue('imagenet') if start == 'file' else None
    return variant, path, build(root, variant, path)


def xavier_uniform(weight):
    """Whether a weight looks uniform up to the bound sqrt(6 / (fan_in + fan_out)): its deviation is bound / sqrt(3)."""
    weight = weight.detach()
    fan_out, fan_in = (weight.shape[axis] * weight[0, 0].numel() for axis in (0, 1))
    bound = math.sqrt(6 / (fan_in + fan_out))
    near_bound = 0.97 * bound < weight.abs().max() <= bound
    return near_bound and math.isclose(weight.std(), bound / math.sqrt(3), rel_tol=0.02)


def normal(weight, std):
    weight = weight.detach()
    return math.isclose(weight.std(), std, rel_tol=0.05) and weight.abs().max() > 3 * std


def test_every_convolution_of_the_neck_is_xavier_uniform(network):
    fpn, context = network[2].neck
    assert isinstance(context, InceptionContext)
    for part, count in ((fpn, 10), (context, 5)):
        weights = [module.weight for module in part.modules() if isinstance(module, nn.Conv2d)]
        assert len(weights) == count and all(map(xavier_uniform, weights))


def test_the_head_predicts_one_face_in_a_hundred_at_its_anchors(network):
    head = network[2].bbox_head
    for convs in (head.cls_convs, head.reg_convs):
        assert len(convs) == 4 and all(normal(conv.conv.weight, 0.01) for conv in convs)
    assert normal(head.retina_cls.weight, 0.01)
    torch.testing.assert_close(head.retina_cls.bias, torch.full((3,), -4.595), atol=1e-3, rtol=0)
    for branch in (head.retina_reg, head.retina_iou):
        assert not branch.weight.any() and not branch.bias.any()


def test_residual_branches_start_at_zero_unless_the_file_says_otherwise(network, imagenet):
    variant, path, model = network
    file, norm = torch.load(imagenet), 'bn3' if variant == 'bn' else 'gn3'
    last = {name: module for name, module in model.backbone.named_modules() if name.endswith(norm)}
    assert len(last) == 16
    for name, module in last.items():
        from_file = variant == 'bn' and path
        expected = file[f'{name}.weight'] if from_file else torch.zeros_like(module.weight)
        torch.testing.assert_close(module.weight, expected)
        torch.testing.assert_close(module.bias, file[f'{name}.bias'] if from_file else torch.zeros_like(module.bias))


def test_all_other_norms_start_at_one_but_for_those_of_the_file(network, imagenet):
    """A shortcut's norm has the same name in both variants, so the file reaches it as in vedadet."""
    _, path, model = network
    file = {f'backbone.{name}' for name in torch.load(imagenet)} if path else ()
    others = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, (nn.GroupNorm, nn.BatchNorm2d)) and not name.endswith(('bn3', 'gn3'))
    }
    assert len(others) == 1 + 16 * 2 + 4 + 10 + 5 + 8
    for name, module in others.items():
        if f'{name}.weight' not in file:
            assert (module.weight == 1).all() and not module.bias.any(), name


def test_convolutions_of_the_backbone_are_those_of_the_file_or_kaiming_s(network, imagenet):
    _, path, model = network
    file = torch.load(imagenet)
    attention = {id(conv) for cbam in model.backbone.modules() if isinstance(cbam, CBAM) for conv in cbam.modules()}
    weights = {
        f'{name}.weight': module.weight
        for name, module in model.backbone.named_modules()
        if hasattr(module, 'out_channels') and 'conv_offset' not in name and id(module) not in attention
    }
    assert len(weights) == 53
    for name, weight in weights.items():
        if path:
            torch.testing.assert_close(weight, file[name])
        elif 'conv2' not in name:  # deformable ones draw theirs themselves
            assert normal(weight, math.sqrt(2 / (weight.shape[0] * weight[0, 0].numel())))


def test_deformable_convolutions_start_without_offsets(network):
    variant, _, model = network
    offsets = [module for name, module in model.named_modules() if name.endswith('conv_offset')]
    assert len(offsets) == (9 if variant == 'gn-dcn' else 0)
    assert not any(parameter.any() for offset in offsets for parameter in offset.parameters())


def test_a_file_with_offsets_and_last_norms_is_loaded_as_it_is(root, tmp_path):
    """For instance the backbone of a trained network."""
    trained = build(root, 'gn-dcn').backbone
    nn.init.uniform_(trained.layer3[1].conv2.conv_offset.weight)
    nn.init.uniform_(trained.layer3[1].gn3.weight)
    torch.save(trained.state_dict(), tmp_path / 'trained.pth')
    start = build(root, 'gn-dcn', tmp_path / 'trained.pth').backbone.state_dict()
    torch.testing.assert_close(start, trained.state_dict())


def test_attention_after_the_last_norm_can_have_it_start_at_one(root):
    cfg = Config.fromfile(root / 'configs/detection/tinaface_r50-gn-dcn-cbam_widerface.py').model.backbone
    cfg.update(init_cfg=None, zero_init_residual=False)
    with DefaultScope.overwrite_default_scope('mmdet'):
        backbone = MODELS.build(cfg)
        backbone.init_weights()
    assert all((block.norm3.weight == 1).all() for layer in backbone.res_layers for block in getattr(backbone, layer))
