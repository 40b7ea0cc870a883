"""Attention maps of trained networks of every task, on pairs of pictures of their own test sets and of a folder."""

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from matplotlib import colormaps
from mmengine.registry import DATASETS, DefaultScope
from scipy.stats import pearsonr
from skimage import data

from askd_mmdet.analysis.attention import (
    PicturePairs,
    WatchedNetwork,
    correlate,
    draw_attention,
    last_blocks,
    stages,
    teacher_of,
)
from askd_mmdet.degradation import low_resolution
from askd_mmdet.openmmlab import load
from askd_mmdet.training.config import load_config
from tests.toy_run import ASKD, BASE, HR, random_network, toy_config

LAYERS = ['layer1', 'layer2', 'layer3', 'layer4']


@pytest.fixture(scope='module')
def networks(toy_data, tmp_path_factory):
    """Checkpoints of two detectors with different weights."""
    folder = tmp_path_factory.mktemp('networks')
    for seed, name in enumerate(('teacher', 'student')):
        random_network(toy_config(HR, toy_data, folder), folder / f'{name}.pth', seed)
    return folder


@pytest.fixture
def watched(toy_data, networks, tmp_path):
    """A teacher and a student."""
    return [
        WatchedNetwork(toy_config(name, toy_data, tmp_path), networks / f'{label}.pth', 'cpu', label=label)
        for label, name in (('teacher', HR), ('student', BASE))
    ]


@pytest.fixture
def folder(tmp_path):
    """Five photographs of as many sizes, one of them in a folder below, and one that cannot be read."""
    (tmp_path / 'pictures/größer').mkdir(parents=True)
    for i, name in enumerate(('a.png', 'b.jpg', 'c.png', 'größer/d.png', 'e.png')):
        picture = data.astronaut()[: 150 + 11 * i, : 200 + 7 * i, ::-1]
        content = cv2.imencode(Path(name).suffix, picture)[1].tobytes()
        (tmp_path / 'pictures' / name).write_bytes(content[:300] if name == 'c.png' else content)
    return tmp_path / 'pictures'


def test_maps_of_a_detector_by_kind_and_name(watched, toy_data, tmp_path):
    teacher, _ = watched
    (pair,) = PicturePairs(toy_config(BASE, toy_data, tmp_path), 1)
    maps = teacher.maps([pair.hr_inputs])
    assert set(maps) == {'spatial', 'channel'} and all(len(named) == 16 for named in maps.values())
    blocks = last_blocks(maps)
    assert list(blocks['spatial']) == list(blocks['channel']) == LAYERS
    sides = [tuple(map.shape) for map in blocks['spatial'].values()]
    assert sides == [(1, 1, side, side) for side in (40, 20, 10, 5)]
    assert [tuple(map.shape) for map in blocks['channel'].values()] == [(1, c, 1, 1) for c in (16, 32, 64, 128)]
    assert all(map.min() >= 0 and map.max() <= 1 for named in maps.values() for map in named.values())


@pytest.mark.parametrize(
    'config, taps, kinds',
    [
        ('toy/arcface_ir18-cbam_toy', None, {'spatial', 'channel'}),
        ('toy/resnet18-cbam_toy', None, {'spatial', 'channel'}),
        ('examples/seresnet50_imagenet-4x_askd', None, {'channel'}),  # as its loss says
        ('examples/seresnet50_imagenet', dict(channel='backbone.*.se_layer.conv2.conv'), {'channel'}),
    ],
)
def test_networks_of_other_tasks(config, taps, kinds, tmp_path):
    cfg = load_config(f'askd_mmdet::{config}.py')
    load(cfg.default_scope)
    if 'seresnet' in config:
        cfg.model.backbone.update(base_channels=16, stem_channels=16)
        cfg.model.head.in_channels = 512
    random_network(cfg, tmp_path / 'network.pth')
    network = WatchedNetwork(cfg, tmp_path / 'network.pth', 'cpu', taps)
    side = 112 if 'arcface' in config else 64
    maps = last_blocks(network.maps(list(torch.randint(0, 256, (2, 3, side, side), dtype=torch.uint8))))
    assert set(maps) == kinds and all(list(named) == LAYERS for named in maps.values())
    assert all(len(map) == 2 for named in maps.values() for map in named.values())


def test_the_teacher_of_a_student_s_config(toy_data, networks, tmp_path):
    cfg = toy_config(ASKD, toy_data, tmp_path, networks / 'teacher.pth')
    teacher = teacher_of(cfg, 'cpu')
    inputs = [torch.randint(0, 256, (3, 64, 64), dtype=torch.uint8)]
    other = WatchedNetwork(toy_config(HR, toy_data, tmp_path), networks / 'teacher.pth', 'cpu')
    name = 'backbone.layer3.5.cbam.spatial_attention'
    assert torch.equal(teacher.maps(inputs)['spatial'][name], other.maps(inputs)['spatial'][name])
    assert teacher_of(toy_config(BASE, toy_data, tmp_path)) is None


def test_the_teacher_has_the_taps_of_the_student_s_loss(tmp_path):
    hr, cfg = (load_config(f'askd_mmdet::examples/seresnet50_imagenet{suffix}.py') for suffix in ('', '-4x_askd'))
    load(hr.default_scope)
    random_network(hr, tmp_path / 'teacher.pth')
    cfg.custom_hooks[-1].checkpoint = str(tmp_path / 'teacher.pth')
    assert teacher_of(cfg, 'cpu').taps == dict(channel='backbone.*.se_layer.conv2.conv')


def test_weights_that_do_not_fit_are_refused(toy_data, networks, tmp_path):
    cfg = toy_config(HR, toy_data, tmp_path)
    with pytest.raises(FileNotFoundError, match='no checkpoint at'):
        WatchedNetwork(cfg, tmp_path / 'none.pth')
    (tmp_path / 'cut.pth').write_bytes((networks / 'teacher.pth').read_bytes()[:1000])
    with pytest.raises(ValueError, match=r'cut\.pth is damaged'):
        WatchedNetwork(cfg, tmp_path / 'cut.pth')
    with pytest.raises(ValueError, match='does not fit'):
        WatchedNetwork('askd_mmdet::toy/arcface_ir18-cbam_toy.py', networks / 'teacher.pth')
    with pytest.raises(ValueError, match='matches no module of the network'):
        WatchedNetwork(cfg, networks / 'teacher.pth', taps=dict(spatial='*.spacial'))
    cfg.model.backbone.plugins = None
    random_network(cfg, tmp_path / 'plain.pth')
    with pytest.raises(ValueError, match=r'has no module \*\.spatial_attention'):
        WatchedNetwork(cfg, tmp_path / 'plain.pth')


def test_pairs_are_the_config_s_own_test_pictures(toy_data, tmp_path):
    base, hr = (toy_config(name, toy_data, tmp_path) for name in (BASE, HR))
    with DefaultScope.overwrite_default_scope('mmdet'):
        lr_set, hr_set = (DATASETS.build(cfg.test_dataloader.dataset) for cfg in (base, hr))
    pairs = PicturePairs(base)
    assert len(pairs) == len(lr_set) == 4
    for _ in range(2):
        for pair, low, high in zip(pairs, lr_set, hr_set, strict=True):
            assert torch.equal(pair.inputs, low['inputs']) and torch.equal(pair.hr_inputs, high['inputs'])
            assert pair.name == Path(low['data_samples'].img_path).name
            assert np.array_equal(pair.hr, high['inputs'].permute(1, 2, 0).numpy()) and pair.lr.dtype == np.uint8
    assert not pairs.unreadable


def test_another_ratio(toy_data, tmp_path):
    for name in (BASE, HR):  # HR has none of its own
        (pair,) = PicturePairs(toy_config(name, toy_data, tmp_path), 1, ratio=8)
        picture = cv2.imread(str(next((toy_data / 'WIDER_val').rglob(pair.name))))
        low = cv2.resize(low_resolution(picture, 8), (160, 160), interpolation=cv2.INTER_LINEAR)
        assert np.array_equal(pair.lr, low)
    with pytest.raises(ValueError, match=r'degrades nothing.*give a ratio'):
        PicturePairs(toy_config(HR, toy_data, tmp_path))


def test_pairs_of_a_folder_of_one_s_own(toy_data, folder, tmp_path):
    cfg = toy_config(BASE, toy_data, tmp_path)
    cfg.test_dataloader.dataset.data_root = '/nowhere'  # which nobody needs for it
    pairs = PicturePairs(cfg, pictures=folder)
    found = {pair.name: pair for pair in pairs}
    assert list(found) == ['a.png', 'b.jpg', 'e.png', 'd.png'] and pairs.unreadable == ['c.png'] and len(pairs) == 5
    own = cv2.resize(data.astronaut()[:150, :200, ::-1], (160, 120), interpolation=cv2.INTER_LINEAR)
    assert np.array_equal(found['a.png'].hr, own)
    assert not np.array_equal(found['a.png'].lr, own) and found['a.png'].lr.shape == own.shape


@pytest.mark.parametrize('config', ['toy/arcface_ir18-cbam_toy-8x', 'toy/resnet18-cbam_toy'])
def test_pairs_for_the_other_tasks(config, folder):
    found = list(PicturePairs(f'askd_mmdet::{config}.py', pictures=folder, ratio=4))
    assert len(found) == 4 and all(pair.hr.shape == pair.lr.shape for pair in found)
    assert all(abs(pair.hr.astype(int) - pair.lr).mean() > 1 for pair in found)


def test_the_hook_that_degrades_any_config_is_heard(folder):
    (pair, *_) = PicturePairs('askd_mmdet::examples/faster-rcnn_r50-cbam_coco-4x.py', pictures=folder)
    picture = np.ascontiguousarray(data.astronaut()[:150, :200, ::-1])
    low = cv2.resize(low_resolution(picture, 4), pair.lr.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    assert np.array_equal(pair.lr, low)


def test_thousands_of_pictures_are_sampled_by_seed(toy_data, tmp_path):
    many = tmp_path / 'many'
    many.mkdir()
    content = cv2.imencode('.png', np.zeros((4, 4, 3), np.uint8))[1].tobytes()
    for i in range(3000):
        (many / f'{i:04}.png').write_bytes(content)
    cfg = toy_config(BASE, toy_data, tmp_path)
    drawn = [[pair.name for pair in PicturePairs(cfg, 20, seed, many)] for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert all(len(set(names)) == 20 and names == sorted(names) for names in drawn)
    assert len(PicturePairs(cfg, 5000, 0, many)) == 3000


def test_no_picture_is_refused(toy_data, tmp_path):
    cfg = toy_config(BASE, toy_data, tmp_path)
    (tmp_path / 'empty').mkdir()
    for name in ('empty', 'missing'):
        with pytest.raises(FileNotFoundError, match=f'{name} holds no picture'):
            PicturePairs(cfg, pictures=tmp_path / name)
    (tmp_path / 'empty/x.png').write_bytes(b'no picture')
    with pytest.raises(ValueError, match=r'cannot read 1 of 1 pictures: x\.png'):
        list(PicturePairs(cfg, pictures=tmp_path / 'empty'))
    for settings in (dict(count=0), dict(count=1.5), dict(seed=-1), dict(ratio=1)):
        with pytest.raises(ValueError, match=f'PicturePairs: found {next(iter(settings))}='):
            PicturePairs(cfg, **settings)


def test_a_damaged_picture_of_the_test_set_is_passed_over(toy_data, tmp_path):
    shutil.copytree(toy_data, tmp_path / 'data')
    damaged = sorted((tmp_path / 'data/WIDER_val/images').rglob('*.*'))[1]
    damaged.write_bytes(b'no picture')
    pairs = PicturePairs(toy_config(BASE, tmp_path / 'data', tmp_path))
    assert len(list(pairs)) == 3 and pairs.unreadable == [damaged.name]


@pytest.mark.parametrize('batch_size', [1, 3])
def test_correlation_over_a_data_set_is_scipy_s_on_all_of_it(watched, toy_data, tmp_path, batch_size):
    teacher, student = watched
    pairs = PicturePairs(toy_config(BASE, toy_data, tmp_path))
    passed = []
    found = correlate(
        teacher, student, pairs, lambda items: (passed.append(item) or item for item in items), batch_size
    )
    assert len(passed) == 4
    hr, lr = (
        [net.maps([inputs]) for inputs in several]
        for net, several in ((teacher, [pair.hr_inputs for pair in pairs]), (student, [pair.inputs for pair in pairs]))
    )
    assert set(found) == {'spatial', 'channel'}
    for kind, taps in found.items():
        assert len(taps) == 16 and list(stages(taps)) == LAYERS
        for tap, correlation in taps.items():
            a, b = (np.concatenate([maps[kind][tap].numpy().ravel() for maps in several]) for several in (lr, hr))
            assert correlation.count == len(a)
            assert correlation.r == pytest.approx(pearsonr(a.astype(float), b.astype(float)).statistic, abs=1e-5)


def test_equal_networks_on_equal_pictures_correlate_fully(watched, toy_data, tmp_path):
    teacher, _ = watched
    pairs = [pair._replace(inputs=pair.hr_inputs) for pair in PicturePairs(toy_config(BASE, toy_data, tmp_path), 2)]
    found = correlate(teacher, teacher, pairs)
    assert all(c.r == pytest.approx(1) for taps in found.values() for c in taps.values())


def test_networks_that_do_not_pair_up_are_refused(watched, toy_data, networks, tmp_path):
    _, student = watched
    pairs = PicturePairs(toy_config(BASE, toy_data, tmp_path), 1)
    cfg = toy_config(HR, toy_data, tmp_path)
    taps = {kind: f'backbone.layer1.*.{kind}_attention' for kind in ('spatial', 'channel')}
    few = WatchedNetwork(cfg, networks / 'teacher.pth', 'cpu', taps)
    with pytest.raises(ValueError, match=r'found 16 channel maps in the student and 3 in the teacher.*layer1\.0'):
        correlate(few, student, pairs)
    cfg.model.backbone.base_channels = 32
    cfg.model.neck[0].in_channels = [128, 256, 512, 1024]
    random_network(cfg, tmp_path / 'wide.pth')
    with pytest.raises(ValueError, match=r'channel maps \(1, 16, 1, 1\) at backbone\.layer1\.0.*\(1, 32, 1, 1\)'):
        correlate(WatchedNetwork(cfg, tmp_path / 'wide.pth', 'cpu'), student, pairs)


def cividis(shares):
    return np.uint8(colormaps['cividis'](np.atleast_1d(shares))[:, 2::-1] * 255 + 0.5)


def test_maps_are_drawn_in_one_colour_scale():
    picture = np.ascontiguousarray(data.astronaut()[:40, :60, ::-1])
    first = torch.linspace(0.2, 0.6, 6).reshape(1, 1, 2, 3)
    second = np.full((2, 3), 0.4)
    drawn = draw_attention(picture, {'teacher': first, 'base': second}, limits=(0.2, 0.6))
    assert drawn.limits == (0.2, 0.6) and list(drawn.over) == list(drawn.alone) == ['teacher', 'base']
    for pictures in (drawn.over, drawn.alone):
        assert all(each.shape == picture.shape and each.dtype == np.uint8 for each in pictures.values())
    assert np.array_equal(drawn.alone['teacher'][[0, -1], [0, -1]], cividis([0, 255]))  # the corners of the map
    assert (drawn.alone['base'] == cividis(128)).all()
    grey = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)[..., None]
    assert abs(drawn.over['base'] - (0.45 * grey + 0.55 * cividis(128))).max() <= 1

    # Without limits they come from all maps: 98 of 100 numbers lie between.
    limits = draw_attention(picture, {'a': np.arange(100.0).reshape(10, 10) / 100, 'b': np.full((1, 2), 0.5)}).limits
    assert limits == pytest.approx((0.01, 0.98), abs=0.01)


def test_a_constant_map_is_drawn():
    drawn = draw_attention(np.zeros((8, 8, 3), np.uint8), {'dull': np.full((2, 2), 0.5)})
    assert drawn.limits == (0.5, 0.5) and (drawn.alone['dull'] == cividis(0)).all()


@pytest.mark.parametrize('map', [np.zeros((1, 16, 1, 1)), np.zeros((2, 1, 4, 4)), np.zeros(4), np.zeros((1, 1))])
def test_a_map_without_places_is_refused(map):
    with pytest.raises(ValueError, match=r'channels: found a map .* expected a spatial one'):
        draw_attention(np.zeros((8, 8, 3), np.uint8), {'channels': map})
    with pytest.raises(ValueError, match='no map to draw'):
        draw_attention(np.zeros((8, 8, 3), np.uint8), {})
