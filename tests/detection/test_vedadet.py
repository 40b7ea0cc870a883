"""Checkpoints of vedadet, to ours and back: same picture, same outputs, with and without CBAM."""

import copy
import subprocess

import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.structures import InstanceData
from torch import nn

from askd_mmdet.attention import CBAM
from askd_mmdet.detection.vedadet import from_vedadet, to_vedadet, variant_of
from askd_mmdet.training import build_model, load_weights
from tests.detection.vedadet_network import VedadetTinaFace
from tests.toy_run import COMMAND, ROOT

ENTRIES = {'bn': 462, 'gn-dcn': 252}


def ours(variant):
    torch.manual_seed(0)
    return build_model(Config.fromfile(ROOT / f'configs/detection/tinaface_r50-{variant}_widerface.py')).eval()


@pytest.fixture(scope='module', params=ENTRIES)
def variant(request):
    return request.param


@pytest.fixture(scope='module')
def theirs(variant):
    """A network of theirs whose norms and offsets have seen something."""
    torch.manual_seed(1)
    network = VedadetTinaFace(variant)
    for name, module in network.named_modules():
        if isinstance(module, (nn.BatchNorm2d, nn.GroupNorm)):
            for tensor in (module.weight.data, module.bias.data, *module.buffers()):
                if tensor.is_floating_point():
                    tensor.uniform_(0.5, 1.5)
        if name.endswith('conv_offset'):
            nn.init.normal_(module.bias)
    return network.eval()


@pytest.fixture(scope='module')
def plain(theirs, variant):
    """Ours without CBAM, with their weights."""
    return converted(theirs, ours(variant))


@pytest.fixture(scope='module')
def attentive(theirs, variant):
    """Ours with CBAM, with their weights."""
    return converted(theirs, ours(f'{variant}-cbam'))


def converted(theirs, network):
    network.load_state_dict(from_vedadet(theirs.state_dict(), network))
    return network


@pytest.fixture(scope='module')
def picture():
    return torch.randn(1, 3, 96, 128, generator=torch.Generator().manual_seed(2)) * 60


def outputs(network, picture):
    """Class logits, box deltas and IoU logits of every level."""
    with torch.no_grad():
        return [out for kind in network(picture, mode='tensor') for out in kind]


def test_the_imported_network_computes_what_theirs_does(theirs, variant, plain, picture):
    assert len(theirs.state_dict()) == len(plain.state_dict()) == ENTRIES[variant]
    with torch.no_grad():
        expected = [out for kind in zip(*theirs(picture)) for out in kind]
    found = outputs(plain, picture)
    assert len(found) == len(expected) == 18
    for a, b in zip(found, expected):
        assert a.std() > 1e-3
        torch.testing.assert_close(a, b, rtol=0, atol=1e-5 * b.abs().max().item())


def test_attention_starts_without_an_effect_and_with_gradients(plain, attentive, picture):
    assert all(torch.equal(a, b) for a, b in zip(outputs(plain, picture), outputs(attentive, picture), strict=True))
    network = copy.deepcopy(attentive)
    cbams = [module for module in network.modules() if isinstance(module, CBAM)]
    assert len(cbams) == 16
    sample = DetDataSample(metainfo=dict(img_shape=(96, 128), pad_shape=(96, 128)))
    sample.gt_instances = InstanceData(bboxes=torch.tensor([[20.0, 10, 50, 45]]), labels=torch.zeros(1).long())
    optimiser = torch.optim.SGD(network.parameters(), 1e-9)
    for step in range(2):
        optimiser.zero_grad()
        network.parse_losses(network(picture, [sample], mode='loss'))[0].backward()
        for cbam in cbams:
            gradients = [parameter.grad for parameter in cbam.parameters()]
            assert all(gradient.isfinite().all() for gradient in gradients)
            # The first layer stands before weights of 0, and waits for them one step.
            assert [bool(gradient.any()) for gradient in gradients] == [step == 1, True, True]
        optimiser.step()


def test_back_comes_what_went(theirs, plain, attentive):
    original = theirs.state_dict()
    for network in (plain, attentive):
        back = to_vedadet(network.state_dict(), network)
        assert back.keys() == original.keys() and all(torch.equal(back[name], original[name]) for name in back)


@pytest.mark.parametrize('part', ['channel_attention.mlp.2', 'spatial_attention.conv'])
def test_attention_at_work_does_not_convert_back(attentive, part):
    weights = copy.deepcopy(attentive.state_dict())
    weights[f'backbone.layer3.5.cbam.{part}.weight'][0, 0, 0, 0] = 1e-6
    with pytest.raises(ValueError, match=r'x: found attention at work in backbone\.layer3\.5\.cbam, .* --with-cbam'):
        to_vedadet(weights, attentive, 'x')


def test_what_does_not_fit_is_refused_and_named(theirs, plain):
    weights = theirs.state_dict()

    def refused(message, change):
        changed = dict(weights)
        change(changed)
        with pytest.raises(ValueError, match=message):
            from_vedadet(changed, plain, 'x')

    context = 'neck.1.level_convs.0.4.conv.weight'
    refused(
        r'x does not fit .* 1 weights missing in the file: neck\.1\.three\.1\.conv\.weight', lambda w: w.pop(context)
    )
    refused(
        'bbox_head.retina_cls.weight .*another shape|another shape.*retina_cls',
        lambda w: w.update({'bbox_head.retina_cls.weight': torch.zeros(6, 256, 3, 3)}),
    )
    refused('weights unknown to the model: fc.bias', lambda w: w.update({'fc.bias': torch.zeros(1)}))
    # One context block for each level, ours under their name, ours with attention.
    for name in ('neck.1.level_convs.1.0.conv.weight', 'neck.1.one.conv.weight', 'backbone.layer1.0.cbam.conv.weight'):
        refused(
            rf"x: found \['{name}'\], expected the names of vedadet",
            lambda w, name=name: w.update({name: weights[context]}),
        )
    with pytest.raises(ValueError, match='a checkpoint of ours needs no conversion'):
        from_vedadet(plain.state_dict(), plain)
    with pytest.raises(ValueError, match=r'weights unknown to the model: neck\.1\.level_convs'):
        to_vedadet(weights, plain)
    for damaged in (dict(weights, epoch=3), dict(state_dict=None), {1: torch.zeros(1)}):
        with pytest.raises(ValueError, match='x: found something beside tensors, expected the weights of a network'):
            from_vedadet(damaged, plain, 'x')
    with pytest.raises(
        ValueError, match=r"x: found \['layer1\.weight'\], expected the weights of a TinaFace, with backbone\.bn1"
    ):
        variant_of({'layer1.weight': torch.zeros(1)}, 'x')


def convert(*args):
    command = [*COMMAND, 'convert', 'vedadet', *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT)


def test_the_tool_finds_the_variant_starts_attention_from_one_seed_and_refuses_whole(tmp_path):
    theirs = VedadetTinaFace('gn-dcn').state_dict()
    torch.save(theirs, tmp_path / 'theirs.pth')
    done = convert(tmp_path / 'theirs.pth', tmp_path / 'ours.pth', '--with-cbam')
    assert 'askd_mmdet::detection/tinaface_r50-gn-dcn-cbam_widerface.py' in done.stdout, done.stderr
    network = ours('gn-dcn-cbam')
    expected = from_vedadet(theirs, network)
    load_weights(network, tmp_path / 'ours.pth')
    assert all(torch.equal(value, expected[name]) for name, value in network.state_dict().items())

    assert convert(tmp_path / 'ours.pth', tmp_path / 'back.pth', '--back').returncode == 0
    back = torch.load(tmp_path / 'back.pth', weights_only=True)
    assert back.keys() == theirs.keys() and all(torch.equal(back[name], theirs[name]) for name in back)

    done = convert(tmp_path / 'ours.pth', tmp_path / 'again.pth')
    assert (
        done.returncode == 1
        and done.stderr.splitlines()[-1].startswith('askd convert: error: ')
        and 'Traceback' not in done.stderr
    )
    assert not list(tmp_path.glob('again*'))
