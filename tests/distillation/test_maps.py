"""Attention maps by name, the last blocks of stages, and how the maps of two networks pair up."""

import numpy as np
import pytest
import torch
from mmengine.model import BaseDataPreprocessor, BaseModel
from torch import nn
from torch.nn import functional as F

from askd_mmdet.attention import CBAM
from askd_mmdet.distillation import AttentionSimilarityLoss, FeatureLoss
from askd_mmdet.distillation.maps import AttentionMaps, attention_taps, last_blocks, paired, stages

TAPS = dict(spatial='*.spatial_attention', channel='*.channel_attention')
RESNET_50 = {1: 3, 2: 4, 3: 6, 4: 3}


class Padded(BaseDataPreprocessor):
    """Pads to a multiple of 8, as detectors do."""

    def forward(self, data, training=False):
        batch = torch.stack(super().forward(data)['inputs']).float()
        height, width = batch.shape[-2:]
        return dict(inputs=F.pad(batch, (0, -width % 8, 0, -height % 8)))


class Network(BaseModel):
    """Three blocks with CBAM, of which the second runs twice at choice; then a head that needs boxes at choice."""

    def __init__(self, blocks=3, channels=4, twice=False, boxes=False):
        super().__init__(Padded())
        torch.manual_seed(0)
        self.stem = nn.Conv2d(3, channels, 3, stride=2, padding=1)
        self.blocks = nn.ModuleList(CBAM(channels, reduction=2) for _ in range(blocks))
        self.head = nn.Linear(channels, 2)
        self.twice, self.boxes, self.heads = twice, boxes, 0
        self.eval()

    def forward(self, inputs, mode='tensor'):
        x = self.stem(inputs)
        for i, block in enumerate(self.blocks):
            x = block(x)
            if i == 1 and self.twice:
                x = block(x)
        self.heads += 1
        assert not self.boxes, 'no boxes'
        return self.head(x.mean((2, 3)))


def pictures(height=16, width=24, count=2):
    return list(torch.randint(0, 256, (count, 3, height, width), dtype=torch.uint8))


def raw(model, batch, name):
    """What a module puts out, by a hook of our own."""
    found = []
    handle = model.get_submodule(name).register_forward_hook(lambda module, _, out: found.append(out))
    with torch.no_grad():
        model(batch)
    handle.remove()
    return found


def test_the_maps_are_those_of_equations_5_and_6_by_name():
    model = Network()
    maps = AttentionMaps(model, TAPS, 'network')
    inputs = pictures()
    for _ in range(2):  # the second time it stops at the last tap
        found = maps(inputs)
        assert list(found) == ['spatial', 'channel']
        assert list(found['spatial']) == [f'blocks.{i}.spatial_attention' for i in range(3)]
        assert [tuple(x.shape) for x in found['spatial'].values()] == [(2, 1, 8, 12)] * 3
        assert [tuple(x.shape) for x in found['channel'].values()] == [(2, 4, 1, 1)] * 3
    assert model.heads == 1
    for named in found.values():
        for name, map in named.items():
            (expected,) = raw(model, torch.stack(inputs).float(), name)
            assert torch.allclose(map, 1 / (1 + (-expected).exp()))


@pytest.mark.parametrize(
    'height, width, rows, columns', [(16, 24, 8, 12), (17, 23, 9, 12), (10, 9, 5, 5), (1, 1, 1, 1)]
)
def test_the_padding_of_the_network_is_cut_off(height, width, rows, columns):
    model = Network()
    inputs = pictures(height, width)
    found = AttentionMaps(model, TAPS, 'network')(inputs)
    batch = F.pad(torch.stack(inputs).float(), (0, -width % 8, 0, -height % 8))
    (whole,) = raw(model, batch, 'blocks.2.spatial_attention')
    map = found['spatial']['blocks.2.spatial_attention']
    assert map.shape == (2, 1, rows, columns)
    assert torch.allclose(map, whole[..., :rows, :columns].sigmoid())


def test_a_module_that_runs_twice_gives_two_maps():
    found = AttentionMaps(Network(twice=True), TAPS, 'network')(pictures())
    names = ['blocks.0.', 'blocks.1.', 'blocks.1.', 'blocks.2.']
    assert list(found['channel']) == [f'{n}channel_attention{k}' for n, k in zip(names, ('', '#1', '#2', ''))]


def test_a_head_that_needs_boxes_is_not_needed():
    maps = AttentionMaps(Network(boxes=True), TAPS, 'network')
    assert all(len(maps(pictures())[kind]) == 3 for kind in TAPS for _ in range(2))
    with pytest.raises(ValueError, match=r"the network does not get as far as its taps \['head'\].*no boxes"):
        AttentionMaps(Network(boxes=True), dict(head='head'), 'network')(pictures())


def test_pictures_of_two_sizes_are_no_batch():
    with pytest.raises(ValueError, match=r'sizes \[\(3, 8, 24\), \(3, 16, 24\)\] in a batch, expected one'):
        AttentionMaps(Network(), TAPS, 'network')([*pictures(), *pictures(8)])


def test_a_tap_that_matches_nothing_is_refused():
    with pytest.raises(ValueError, match=r"spatial='\*\.spacial' matches no module of the student"):
        AttentionMaps(Network(), dict(spatial='*.spacial'), 'student')


def test_taps_come_from_the_loss_else_from_cbam_and_only_where_they_match():
    model = Network()
    assert attention_taps(model) == attention_taps(model, [FeatureLoss()]) == AttentionSimilarityLoss().taps
    loss = AttentionSimilarityLoss(channel='blocks.0.channel_attention', spatial='*.none')
    assert attention_taps(model, [FeatureLoss(), loss]) == dict(channel='blocks.0.channel_attention')
    assert attention_taps(nn.Linear(1, 1)) == {}


@pytest.mark.parametrize(
    'tap',
    [
        'backbone.layer{}.{}.cbam.spatial_attention',  # ResNet with the plugin, as in TinaFace
        'backbone.layer{}.{}.res_layer.6.channel_attention',  # IR-ResNet
        'backbone.layer{}.{}.se_layer.conv2.conv',  # SE-ResNet
        'layer{}.{}.attention',
        'module.resnet50.layer{}.{}.cbam',
        '0.layer{}.{}.cbam.3',
    ],
)
def test_the_last_block_of_each_stage_of_a_resnet(tap):
    names = [tap.format(stage, block) for stage, blocks in RESNET_50.items() for block in range(blocks)]
    assert stages(names) == {f'layer{s}': tap.format(s, blocks - 1) for s, blocks in RESNET_50.items()}
    last = [name for name in names if 'layer4' in name]
    assert stages(last) == {'layer4': last[-1]}  # of one stage alone as well


def test_the_later_of_two_attention_modules_of_a_block_is_the_last():
    names = [f'backbone.layer{s}.{b}.cbam{i}.spatial_attention' for s in (1, 2) for b in (0, 1) for i in (1, 2)]
    assert stages(names) == {f'layer{s}': f'backbone.layer{s}.1.cbam2.spatial_attention' for s in (1, 2)}


@pytest.mark.parametrize(
    'names, expected',
    [
        (['stages.0.blocks.0.a', 'stages.0.blocks.1.a', 'stages.1.blocks.0.a'], ['stages.0', 'stages.1']),
        (['stages.0.0.a', 'stages.0.1.a', 'stages.1.0.a'], ['stages.0', 'stages.1']),
        (['features.3.cbam', 'features.6.cbam'], ['features.3', 'features.6']),
        (['cbam.spatial_attention'], ['cbam.spatial_attention']),
        (['stem.cbam.a', 'head.cbam.a'], ['stem.cbam.a', 'head.cbam.a']),
        (['head.cbam.a#1', 'head.cbam.a#2'], ['head.cbam.a#1', 'head.cbam.a#2']),
        (['body.layer1.0.a', 'aux.layer1.0.a'], ['body.layer1', 'aux.layer1']),
        ([''], ['']),
        ([], []),
    ],
)
def test_stages_of_other_names(names, expected):
    assert list(stages(names)) == expected
    assert set(stages(names).values()) <= set(names) and names[-1:] == list(stages(names).values())[-1:]


def test_both_kinds_of_maps_have_the_same_stages():
    maps = {kind: {f'net.layer{s}.{b}.{kind}': torch.rand(1) for s in (1, 2) for b in (0, 1)} for kind in TAPS}
    found = last_blocks(maps)
    assert all(list(named) == ['layer1', 'layer2'] for named in found.values())
    assert found['channel']['layer2'] is maps['channel']['net.layer2.1.channel']


def test_maps_pair_up_in_running_order():
    a, b = ({'spatial': {f'{n}.{i}': torch.tensor(float(i)) for i in range(3)}} for n in 'ab')
    assert [(kind, name, s.item(), t.item()) for kind, name, s, t in paired(a, b)] == [
        ('spatial', f'a.{i}', i, i) for i in range(3)
    ]


def test_maps_that_have_no_partner_are_refused():
    few, many = (AttentionMaps(Network(blocks), TAPS, 'network')(pictures()) for blocks in (2, 3))
    with pytest.raises(ValueError, match=r'found 2 spatial maps in the student and 3 in the teacher.*: blocks\.0'):
        list(paired(few, many))
    with pytest.raises(ValueError, match=r'found 0 channel maps in the student and 2 in the teacher.*none against'):
        list(paired({kind: few[kind] for kind in ('spatial',)}, few))
    wide = AttentionMaps(Network(channels=6), TAPS, 'network')(pictures())
    with pytest.raises(ValueError, match=r'channel maps \(2, 4, 1, 1\) at blocks\.0\.channel_attention of the student'):
        list(paired(many, wide))
    large = AttentionMaps(Network(), TAPS, 'network')(pictures(32, 48))
    with pytest.raises(ValueError, match=r'spatial maps \(2, 1, 8, 12\) at .* see pictures of one size'):
        list(paired(many, large))


def test_the_networks_of_the_library_have_four_stages():
    pytest.importorskip('mmpretrain')
    from askd_mmdet.openmmlab import load
    from askd_mmdet.training import build_model
    from askd_mmdet.training.config import load_config

    for name in ('toy/tinaface_r50-bn-cbam_toy', 'toy/arcface_ir18-cbam_toy', 'toy/resnet18-cbam_toy'):
        cfg = load_config(f'askd_mmdet::{name}.py')
        load(cfg.default_scope)
        model = build_model(cfg)
        names = [name for name, _ in model.named_modules() if name.endswith('.spatial_attention')]
        found = stages(names)
        assert list(found) == ['layer1', 'layer2', 'layer3', 'layer4'] and found['layer4'] == names[-1]
        assert np.all(np.diff([names.index(tap) for tap in found.values()]) > 0)
