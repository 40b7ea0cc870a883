"""ResNet with CBAM against mmpretrain's ResNet, against blocks composed by hand, and under the teacher's folding."""

import copy

import pytest
import torch
from mmengine.registry import MODELS, DefaultScope
from mmpretrain.models.backbones import ResNet, ResNet_CIFAR
from torch import nn

from askd_mmdet.attention import CBAM, ChannelAttention, SpatialAttention
from askd_mmdet.classification import CBAMResNet, CBAMResNetCifar
from askd_mmdet.distillation.teacher import Teacher

KINDS = {'imagenet': (CBAMResNet, ResNet), 'cifar': (CBAMResNetCifar, ResNet_CIFAR)}
SMALL = dict(stem_channels=4, base_channels=8, cbam=dict(type='CBAM', reduction=4, kernel_size=7))


def network(kind='imagenet', depth=18, attention='conv', **settings):
    """A small network in evaluation, whose norms do something."""
    torch.manual_seed(0)
    built = KINDS[kind][0](depth, attention, **SMALL, **settings)
    for module in built.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight.data, module.bias.data, module.running_mean, module.running_var):
                tensor.uniform_(0.5, 1.5)
    built.eval()  # mmpretrain's returns None, and so does its train
    return built


def plain(kind='imagenet', depth=18, **settings):
    built = KINDS[kind][1](depth, stem_channels=4, base_channels=8, **settings)
    built.eval()
    return built


def blocks(built):
    return [block for i in range(1, 5) for block in getattr(built, f'layer{i}')]


# What follows each convolution of a block in one forward pass.
BASIC, BOTTLENECK = 'conv1 bn1 {} relu conv2 bn2 {} relu', 'conv1 bn1 relu conv2 bn2 {} relu conv3 bn3 {} relu'


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize(
    'depth, attention, expected',
    [
        (18, 'conv', BASIC.format('cbam1', 'cbam2')),
        (18, 'block', BASIC.format('', 'cbam2')),
        (34, 'conv', BASIC.format('cbam1', 'cbam2')),
        (50, 'conv', BOTTLENECK.format('cbam2', '')),
        (50, 'block', BOTTLENECK.format('', 'cbam3')),
    ],
    ids=['18-conv', '18-block', '34-conv', '50-conv', '50-block'],
)
def test_cbam_stands_where_the_paper_or_the_authors_code_put_it(kind, depth, attention, expected):
    built = network(kind, depth, attention)
    names, ran = {module: name for name, module in built.named_modules()}, []
    for block in blocks(built):
        for name, module in block.named_children():
            if name not in ('downsample', 'drop_path'):
                module.register_forward_hook(lambda module, *_, name=name: ran.append(name))
    built(torch.randn(1, 3, 32, 32))
    assert ran == expected.split() * len(blocks(built))
    for module, name in names.items():
        if isinstance(module, CBAM):  # never in the stem or a shortcut
            assert name.startswith('layer') and 'downsample' not in name
    if attention == 'conv':  # one for every 3x3 convolution but the stem's
        threes = [name for m, name in names.items() if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)]
        expected = {name.replace('conv', 'cbam') for name in threes if name.startswith('layer')}
        assert expected == {name for m, name in names.items() if isinstance(m, CBAM)}


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('attention', ['conv', 'block'])
@pytest.mark.parametrize('depth', [18, 50])
@pytest.mark.parametrize('training', [False, True])
def test_a_block_is_its_parts_composed_by_hand(kind, depth, attention, training):
    built = network(kind, depth, attention)

    def attend(block, number, x):
        cbam = getattr(block, f'cbam{number}', None)
        if cbam is None:
            return x
        x = torch.sigmoid(cbam.channel_attention(x)) * x
        return torch.sigmoid(cbam.spatial_attention(x)) * x

    for block in copy.deepcopy(blocks(built)):
        block.train(training)
        x = torch.randn(2, block.conv1.in_channels, 8, 8)
        y = x
        for number in range(1, 3 if depth == 18 else 4):
            conv, norm = getattr(block, f'conv{number}'), getattr(block, f'bn{number}')
            y = attend(block, number, norm(conv(y.relu() if number > 1 else y)))
        expected = (y + (x if block.downsample is None else block.downsample(x))).relu()
        assert torch.equal(block(x), expected)


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('attention', ['conv', 'block'])
@pytest.mark.parametrize('depth', [18, 50])
def test_without_its_attention_it_is_mmpretrains_resnet_with_the_same_weights(kind, depth, attention):
    built, stock = network(kind, depth, attention), plain(kind, depth)
    weights = built.state_dict()
    shared = {name: weight for name, weight in weights.items() if 'cbam' not in name}
    assert shared.keys() == stock.state_dict().keys() and len(shared) < len(weights)
    stock.load_state_dict(shared)
    images = torch.randn(2, 3, 64, 64)
    (attended,), (expected,) = built(images), stock(images)
    assert attended.shape == expected.shape and not torch.allclose(attended, expected)
    for module in built.modules():
        if isinstance(module, ChannelAttention | SpatialAttention):
            module.register_forward_hook(lambda module, inputs, output: torch.full_like(output, 1e4))
    assert torch.equal(built(images)[0], expected)


@pytest.mark.parametrize('depth, shape', [(18, (1, 512, 2, 2)), (50, (1, 2048, 2, 2))])
def test_cbam_fits_the_channels_of_a_network_of_full_width(depth, shape):
    for attention in ('conv', 'block'):
        built = CBAMResNet(depth, attention)
        assert built(torch.zeros(1, 3, 64, 64))[0].shape == shape
        cbams = [module for module in built.modules() if isinstance(module, CBAM)]
        assert len(cbams) == (2 if (depth, attention) == (18, 'conv') else 1) * len(blocks(built))
        for cbam in cbams:
            hidden, channels = cbam.channel_attention.mlp[0].weight.shape[:2]
            assert hidden == channels // 16 and cbam.spatial_attention.conv.kernel_size == (7, 7)


@pytest.mark.parametrize(
    'depth, attention, norm, starts_at',
    [(18, 'conv', 2, 1), (18, 'block', 2, 1), (50, 'conv', 3, 0), (50, 'block', 3, 1)],
)
def test_zero_init_residual_leaves_norms_alone_that_cbam_follows(depth, attention, norm, starts_at):
    for kind in KINDS:
        built, stock = network(kind, depth, attention, zero_init_residual=True), plain(kind, depth)
        built.init_weights()
        stock.init_weights()
        for block, other in zip(blocks(built), blocks(stock)):
            assert (getattr(block, f'bn{norm}').weight == starts_at).all()
            assert (getattr(other, f'bn{norm}').weight == 0).all()


@pytest.mark.parametrize('attention', ['conv', 'block'])
@pytest.mark.parametrize('depth', [18, 50])
def test_every_parameter_of_a_new_network_gets_a_gradient(depth, attention):
    built = network('cifar', depth, attention, zero_init_residual=False)
    built.init_weights()
    built.train()
    (features,) = built(torch.randn(4, 3, 32, 32))
    (features * torch.randn_like(features)).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() and p.grad.any() for p in built.parameters())


def test_frozen_stages_are_frozen_with_their_attention():
    built = network(frozen_stages=2, norm_eval=True)
    built.train()
    for name, parameter in built.named_parameters():
        assert parameter.requires_grad == name.startswith(('layer3', 'layer4'))
    assert not any(m.training for m in built.modules() if isinstance(m, nn.BatchNorm2d))


def test_activation_checkpointing_changes_nothing():
    torch.manual_seed(0)
    images, results = torch.randn(2, 3, 32, 32), []
    for with_cp in (False, True):
        built = network(with_cp=with_cp)
        built.train()
        built(images.clone().requires_grad_())[0].sum().backward()
        results.append([p.grad for p in built.parameters()])
    torch.testing.assert_close(*results)


@pytest.mark.parametrize('kind', KINDS)
def test_another_attention_is_refused(kind):
    with pytest.raises(ValueError, match=r"CBAMResNet.*: found attention='stage', expected 'conv' or 'block'"):
        KINDS[kind][0](18, attention='stage')


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('attention', ['conv', 'block'])
@pytest.mark.parametrize('depth', [18, 50])
def test_the_teacher_folds_it_and_puts_out_the_same(kind, depth, attention):
    built = network(kind, depth, attention)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(
            dict(
                type='mmpretrain.ImageClassifier',
                data_preprocessor=dict(type='ClsDataPreprocessor', mean=[128] * 3, std=[60] * 3, to_rgb=True),
                backbone=dict(type=KINDS[kind][0].__name__, depth=depth, attention=attention, **SMALL),
                neck=dict(type='GlobalAveragePooling'),
                head=dict(type='LinearClsHead', num_classes=5, in_channels=64 if depth == 18 else 256),
            )
        )
    model.backbone.load_state_dict(built.state_dict())
    patterns = dict(
        channel='*.channel_attention',
        spatial='*.spatial_attention',
        stages='backbone.layer?',
        neck='neck',
        fc='head.fc',
    )
    cbams = sum(isinstance(module, CBAM) for module in built.modules())
    counts = dict(channel=cbams, spatial=cbams, stages=4, neck=1, fc=1)
    images = [torch.randint(0, 256, (3, 64, 64), dtype=torch.uint8) for _ in range(2)]

    expected = {kind: [] for kind in patterns}
    unfolded = copy.deepcopy(model).eval()
    for name, module in unfolded.named_modules():
        for kind_, fits in (
            ('channel', name.endswith('.channel_attention')),
            ('spatial', name.endswith('.spatial_attention')),
            ('stages', name in [f'backbone.layer{i}' for i in range(1, 5)]),
            ('neck', name == 'neck'),
            ('fc', name == 'head.fc'),
        ):
            if fits:
                module.register_forward_hook(lambda m, i, out, k=kind_: expected[k].append(out))
    with torch.no_grad():
        unfolded(unfolded.data_preprocessor(dict(inputs=images), False)['inputs'])

    teacher = Teacher(model, patterns)
    assert teacher.matched == counts
    for _ in range(2):
        seen = teacher.see(images, counts)
        assert not any(isinstance(module, nn.BatchNorm2d) for module in teacher.model.modules())
        for key, wanted in expected.items():
            assert len(seen[key]) == counts[key]
            for a, b in zip(seen[key], wanted):
                b = b[0] if isinstance(b, tuple) else b
                torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3 * b.abs().max().item())
