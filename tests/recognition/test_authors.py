"""Checkpoints of the authors' code, to ours and back: same input, same embedding."""

import random
import subprocess

import cv2
import pytest
import torch
from mmcv.transforms import Compose
from mmengine.config import Config
from mmengine.registry import DefaultScope
from skimage.data import astronaut
from torch import nn
from torch.nn import functional as F

from askd_mmdet.recognition.authors import from_authors, read_train_list, to_authors
from askd_mmdet.recognition.datasets import FaceFolderDataset, FaceRecordDataset
from askd_mmdet.recognition.ir_resnet import IRResNet
from askd_mmdet.training import load_weights, read_checkpoint
from tests.recognition.authors_network import AuthorsNetwork
from tests.recognition.test_recognizer import build
from tests.toy_run import COMMAND, ROOT


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
    command = [*COMMAND, 'convert', 'authors', *map(str, args)]
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
        found, expected = read_checkpoint(path), read_checkpoint(files / original)
        assert found.keys() == expected.keys() and found['iters'] == expected['iters'] == 7
        found, expected = found['net_state_dict'], expected['net_state_dict']
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


@pytest.fixture
def train_list(tmp_path):
    """As their script writes it: folders in the order of the file system, a picture's path, two spaces, a label."""
    folders = [f'{label:06d}' for label in (4, 9, 0, 10, 7, 1, 3, 2, 8, 5, 6)]
    lines = [f'/data/my faces/image/{name}/{i:08d}.jpg  {k}\n' for k, name in enumerate(folders) for i in range(2)]
    random.Random(0).shuffle(lines)
    path = tmp_path / 'train.list'
    path.write_text(''.join(lines))
    return path


def test_the_train_list_puts_the_rows_in_our_order_and_back(files, train_list, tmp_path):
    options = '--margin', files / 'last_margin.ckpt', '--train-list', train_list
    done = convert(files / 'last_net.ckpt', tmp_path / 'ours.pth', *options)
    assert done.returncode == 0, done.stderr
    theirs = read_checkpoint(files / 'last_margin.ckpt')['net_state_dict']['weight']
    checkpoint = read_checkpoint(tmp_path / 'ours.pth')
    assert checkpoint['meta']['iter'] == 7
    # Identity 4 had their label 0, identity 9 their label 1, and so on.
    for label, identity in enumerate((4, 9, 0, 10, 7, 1, 3, 2, 8, 5, 6)):
        assert torch.equal(checkpoint['state_dict']['head.norm_product.weight'][identity], theirs[label])
    back = '--margin', tmp_path / 'back.ckpt', '--train-list', train_list, '--back'
    assert convert(tmp_path / 'ours.pth', tmp_path / 'net.ckpt', *back).returncode == 0
    assert torch.equal(read_checkpoint(tmp_path / 'back.ckpt')['net_state_dict']['weight'], theirs)
    done = convert(files / 'last_net.ckpt', tmp_path / 'no.pth', '--train-list', train_list)
    assert done.returncode == 1 and 'name its file with --margin' in done.stderr


def test_our_order_is_that_of_both_data_sets(toy_faces, tmp_path):
    """Of train.rec, and of its folders as `askd unpack` names them."""
    done = [*COMMAND, 'unpack', toy_faces / 'train.rec', tmp_path / 'people']
    subprocess.run(done, check=True, capture_output=True)
    records = FaceRecordDataset(ann_file=str(toy_faces / 'train.rec'))
    folders = FaceFolderDataset(data_root=str(tmp_path / 'people'))
    identities = list(folders.metainfo['classes'])
    assert [int(name) for name in identities] == [int(name) for name in records.metainfo['classes']]
    margin = dict(net_state_dict=dict(weight=torch.randn(len(identities), 512)))
    net = dict(net_state_dict=AuthorsNetwork(18).state_dict())
    # Theirs are listed from the last to the first.
    head = from_authors(net, margin, identities[::-1])['state_dict']['head.norm_product.weight']
    assert torch.equal(head, margin['net_state_dict']['weight'].flip(0))


def test_a_train_list_is_read_as_people_write_it(tmp_path):
    path = tmp_path / 'train.list'
    path.write_text('\ufeffD:\\my data\\b\\1.jpg\t0\n\na/1.jpg 1\nx/a/2.jpg   01\n', encoding='utf-8')
    assert read_train_list(path) == ['b', 'a']


@pytest.mark.parametrize(
    'text, message',
    [
        ('a/1.jpg  0\nb/1.jpg  1\na/2.jpg  1\n', r'list:3: found label 1 for a, which had label 0 before'),
        ('a/1.jpg  0\nb/1.jpg  0\n', r'list:2: found label 0 for b, but it was that of a before'),
        (
            'a/1.jpg  0\nb/1.jpg  2\n',
            r'found 2 identities with labels up to 2, expected labels from 0 on without a gap',
        ),
        ('', r'found 0 identities'),
        (
            'a/1.jpg  0\n1.jpg  1\n',
            r"list:2: found '1.jpg  1', expected a picture in its identity's folder and a label",
        ),
        ('../1.jpg  0\n', 'list:1'),
        ('a/1.jpg  -1\n', 'list:1'),
        ('a/1.jpg  ²\n', 'list:1'),
        ('a/1.jpg  ٣\n', 'list:1'),
        (f'a/1.jpg  {"1" * 5000}\n', 'list:1'),
        ('a/1.jpg\n', 'list:1'),
        ('7\n', 'list:1'),
    ],
)
def test_a_contradictory_train_list_is_refused(tmp_path, text, message):
    path = tmp_path / 'train.list'
    path.write_text(text, encoding='utf-8')
    with pytest.raises(ValueError, match=message):
        read_train_list(path)


def test_a_train_list_that_is_none_is_refused(files):
    with pytest.raises(ValueError, match='is no text file'):
        read_train_list(files / 'last_net.ckpt')
    with pytest.raises(FileNotFoundError, match=r'nowhere\.list does not exist'):
        read_train_list(files / 'nowhere.list')


def test_files_that_do_not_belong_together_are_refused(network):
    net, margin = (
        dict(iters=7, net_state_dict=weights) for weights in (network.state_dict(), dict(weight=torch.zeros(11, 512)))
    )
    with pytest.raises(ValueError, match='x: found iters 7 in the net and 5 in the margin, expected one moment'):
        from_authors(net, dict(margin, iters=5), source='x')
    with pytest.raises(ValueError, match='x: found 2 identities for 11 rows of the head, expected as many'):
        from_authors(net, margin, ['a', 'b'], 'x')
    with pytest.raises(ValueError, match='numbers without leading zeros, whose order as sorted folders is not that in'):
        from_authors(net, margin, [str(i) for i in range(11)])
    for iters in (-1, 7.5, '7', True, None):
        with pytest.raises(ValueError, match="under 'iters', expected the number of iterations"):
            from_authors(dict(net, iters=iters))


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
    assert done.returncode == 1 and done.stderr.startswith('askd convert: error: no checkpoint at')
    assert not list(tmp_path.iterdir())
