"""Checkpoints of the authors' code, to ours and back: same input, same embedding."""

import subprocess
import sys

import cv2
import pytest
import torch
from mmcv.transforms import Compose
from mmengine.config import Config
from mmengine.registry import DefaultScope
from skimage.data import astronaut
from torch import nn
from torch.nn import functional as F

from askd_mmdet.recognition.authors import from_authors, to_authors
from askd_mmdet.recognition.ir_resnet import IRResNet
from askd_mmdet.training import load_weights, read_checkpoint
from tests.recognition.authors_network import AuthorsNetwork
from tests.recognition.test_recognizer import build
from tests.toy_run import ROOT


@pytest.fixture(scope='module')
def network():
    """A network of theirs whose norms have seen something."""
    torch.manual_seed(0)
    network = AuthorsNetwork(18)
    for module in network.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            for tensor in (module.weight.data, module.bias.data, module.running_mean, module.running_var):
                tensor.uniform_(0.5, 1.5)
    return network.eval()


@pytest.fixture(scope='module')
def files(network, tmp_path_factory):
    folder = tmp_path_factory.mktemp('authors')
    torch.save(dict(iters=7, net_state_dict=network.state_dict()), folder / 'last_net.ckpt')
    margin = dict(weight=torch.randn(11, 512))
    torch.save(dict(iters=7, net_state_dict=margin), folder / 'last_margin.ckpt')
    return folder


def convert(*args):
    command = [sys.executable, ROOT / 'tools/convert_authors_checkpoint.py', *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT)


def test_to_ours_and_back(network, files, tmp_path):
    done = convert(files / 'last_net.ckpt', tmp_path / 'ours.pth', '--margin', files / 'last_margin.ckpt')
    assert done.returncode == 0 and 'model.head.num_classes=11' in done.stdout, done.stderr

    head = dict(type='ArcFaceHead', num_classes=11, in_channels=512)
    ours = build(backbone=dict(type='IRResNet', depth=18), head=head).eval()
    load_weights(ours, tmp_path / 'ours.pth')
    pictures = torch.randint(0, 256, (3, 3, 112, 112), dtype=torch.uint8)
    samples = ours.test_step(dict(inputs=list(pictures), data_samples=None))
    with torch.no_grad():
        theirs = network((pictures / 255 - 0.5) / 0.5)
        mirrored = network((pictures.flip(3) / 255 - 0.5) / 0.5)
    for i, sample in enumerate(samples):
        expected = torch.cat([theirs[i], mirrored[i]])
        assert expected.std() > 0.01
        torch.testing.assert_close(sample.embedding, expected, rtol=0, atol=1e-5)

    back = tmp_path / 'back_net.ckpt', tmp_path / 'back_margin.ckpt'
    assert convert(tmp_path / 'ours.pth', back[0], '--margin', back[1], '--back').returncode == 0
    for path, original in zip(back, ('last_net.ckpt', 'last_margin.ckpt')):
        found, expected = (read_checkpoint(p)['net_state_dict'] for p in (path, files / original))
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[name], expected[name]) for name in found)


@pytest.mark.parametrize('ratio', [2, 4, 8])
def test_a_test_at_lr_sees_what_the_authors_test_sees(network, files, tmp_path, ratio):
    """Their test mirrors the HR picture and degrades both; with their recipe, mirroring the LR picture is not that."""
    cfg = Config.fromfile(ROOT / f'configs/recognition/arcface_ir50-cbam_casia-{ratio}x-authors.py')
    convert(files / 'last_net.ckpt', tmp_path / 'ours.pth')
    ours = build(backbone=dict(type='IRResNet', depth=18), head=None).eval()
    load_weights(ours, tmp_path / 'ours.pth')
    picture = astronaut()[:112, 170:282, ::-1].copy()
    cv2.imwrite(str(tmp_path / 'a.png'), picture)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        packed = Compose(cfg.test_dataloader.dataset.pipeline)(dict(img_path=str(tmp_path / 'a.png')))
    (sample,) = ours.test_step(dict(inputs=[packed['inputs']], data_samples=[packed['data_samples']]))

    x = (torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255 - 0.5) / 0.5
    taps = [torch.exp(-(torch.arange(-2.0, 3) ** 2) / (2 * sigma**2)) for sigma in (2.0, 0.1)]
    kernel = torch.outer(*(t / t.sum() for t in taps)).expand(3, 1, 5, 5)
    expected = []
    for image in (x, x.flip(3)):
        low = F.interpolate(F.interpolate(image, scale_factor=1 / ratio), size=(112, 112))
        low = F.conv2d(F.pad(low, (2, 2, 2, 2), 'reflect'), kernel, groups=3)
        with torch.no_grad():
            expected.append(network(low)[0])
    torch.testing.assert_close(sample.embedding, torch.cat(expected), rtol=0, atol=1e-5)


def test_without_the_margin_there_is_no_head(files, tmp_path):
    done = convert(files / 'last_net.ckpt', tmp_path / 'ours.pth')
    assert done.returncode == 0 and 'set model.head=None' in done.stdout
    ours = build(backbone=dict(type='IRResNet', depth=18), head=None)
    load_weights(ours, tmp_path / 'ours.pth')
    net, margin = to_authors(read_checkpoint(tmp_path / 'ours.pth'))
    assert margin is None and net['net_state_dict'].keys() == AuthorsNetwork(18).state_dict().keys()


def test_what_does_not_fit_is_named(network, files, tmp_path):
    net = dict(net_state_dict=dict(network.state_dict()))
    with pytest.raises(ValueError, match=r"x: found \['state_dict'\], expected 'net_state_dict'"):
        from_authors(dict(state_dict={}), source='x')
    with pytest.raises(ValueError, match=r'found {} in the margin, expected one weight'):
        from_authors(net, dict(net_state_dict={}))
    with pytest.raises(ValueError, match=r'found \(0, 0, 0, 0\) blocks in the four stages'):
        from_authors(dict(net_state_dict={}))
    with pytest.raises(
        ValueError, match=r"found {'weight': \(3, 7\)} in the margin, expected one weight \(classes, 512"
    ):
        from_authors(net, dict(net_state_dict=dict(weight=torch.zeros(3, 7))))
    for damaged in ([1, 2], dict(weight='no tensor')):
        with pytest.raises(ValueError, match="'net_state_dict' holds no weights"):
            from_authors(dict(net_state_dict=damaged))
    with pytest.raises(ValueError, match='blocks in the four stages'):
        from_authors(dict(net_state_dict=dict(undotted=torch.zeros(1))))
    del net['net_state_dict']['output_layer.3.weight']
    with pytest.raises(ValueError, match=r'1 weights missing in the file: backbone\.output_layer\.3\.weight'):
        from_authors(net)
    every_convolution = nn.ModuleDict(dict(backbone=IRResNet(18, 'conv', base_channels=16))).state_dict()
    with pytest.raises(ValueError, match='weights unknown'):
        to_authors(every_convolution)
    done = convert(files / 'nowhere.ckpt', tmp_path / 'ours.pth')
    assert done.returncode == 1 and done.stderr.startswith('error: no checkpoint at')
    assert not list(tmp_path.iterdir())
