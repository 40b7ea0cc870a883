import copy
import random
from collections import Counter
from importlib import import_module

import numpy as np
import pytest
import torch
from mmdet.structures.bbox import HorizontalBoxes
from mmengine.dataset import Compose
from mmengine.registry import TRANSFORMS, DefaultScope
from mmengine.structures import BaseDataElement
from skimage import data

from askd_mmdet.degradation import LowResolution, ResizeToHR, enlarge, low_resolution
from askd_mmdet.degradation import transform as transform_module
from askd_mmdet.degradation.camera import CAMERAS, photograph
from askd_mmdet.training.config import load_config

PICTURES = [getattr(data, name)() for name in ('astronaut', 'chelsea', 'coffee')]

GEOMETRY = [
    dict(type='RandomCrop', crop_type='relative_range', crop_size=(0.5, 0.5)),
    dict(type='RandomFlip', prob=0.5),
    dict(type='RandomResize', scale=[(64, 64), (96, 96)], keep_ratio=False),
]
ALL_RANDOM = [*GEOMETRY, dict(type='PhotoMetricDistortion'), dict(type='PackDetInputs')]


@pytest.fixture(autouse=True)
def detection_scope():
    import mmdet.datasets.transforms  # noqa: F401  registers the transforms

    with DefaultScope.overwrite_default_scope('mmdet'):
        yield


def seed(number):
    random.seed(number)
    np.random.seed(number)
    torch.manual_seed(number)


def random_states():
    return random.getstate(), np.random.get_state()[1:], torch.get_rng_state().numpy()


def loaded(index=0, dtype=np.uint8):
    """What the loading transforms leave; the boxes cover the middle, so every crop meets them."""
    image = PICTURES[index].astype(dtype)
    height, width = image.shape[:2]
    boxes = np.float32([[0.3, 0.3, 0.6, 0.7], [0.45, 0.2, 0.7, 0.6]]) * ([width, height] * 2)
    return dict(
        img=image,
        img_path=f'{index}.png',
        img_id=index,
        img_shape=(height, width),
        ori_shape=(height, width),
        gt_bboxes=HorizontalBoxes(boxes, dtype=torch.float32),
        gt_bboxes_labels=np.array([0, 0]),
        gt_ignore_flags=np.array([False, False]),
    )


def build(transforms=ALL_RANDOM, **settings):
    return TRANSFORMS.build(dict(type='LowResolution', transforms=transforms, **settings))


def assert_same_sample(one, other):
    assert torch.equal(one['inputs'], other['inputs'])
    one, other = one['data_samples'], other['data_samples']
    assert one.metainfo == other.metainfo
    assert torch.equal(one.gt_instances.bboxes.tensor, other.gt_instances.bboxes.tensor)


@pytest.mark.parametrize('dtype', [np.uint8, np.float32])
def test_twins_get_identical_random_transforms(dtype):
    transform = build(ratio=1, keep_hr=True)
    samples = []
    for number in range(30):
        seed(number)
        samples.append(transform(loaded(number % 3, dtype)))
        assert torch.equal(samples[-1]['inputs'], samples[-1]['hr_inputs'])
    assert {sample['data_samples'].flip for sample in samples} == {True, False}
    assert len({tuple(sample['inputs'].shape) for sample in samples}) > 5
    assert len({sample['inputs'].sum().item() for sample in samples}) == 30


@pytest.mark.parametrize(
    'setting',
    [
        dict(ratio=4),
        dict(size=24),
        dict(ratio=8, sigma=2.0),
        dict(ratio=4, recipe='authors'),
        dict(ratio=4, recipe='camera'),
    ],
)
def test_each_twin_equals_the_plain_pipeline_on_its_picture(setting):
    transform = build(**setting, vary=False, keep_hr=True)
    plain = Compose(ALL_RANDOM)
    for number in range(6):
        seed(number)
        pair = transform(loaded(number % 3))

        seed(number)
        hr = plain(loaded(number % 3))
        degraded = loaded(number % 3)
        degraded['img'] = low_resolution(degraded['img'], **setting)
        seed(number)
        lr = plain(degraded)

        assert torch.equal(pair['hr_inputs'], hr['inputs'])
        assert_same_sample(pair, lr)
        assert not torch.equal(pair['hr_inputs'], pair['inputs'])


@pytest.mark.parametrize('ratio', [4, [2, 4, 8]])
def test_keeping_hr_changes_no_random_number_of_an_epoch(ratio):
    epochs, states = [], []
    for keep_hr in (False, True):
        transform = build(ratio=ratio, keep_hr=keep_hr)
        seed(0)
        epochs.append([transform(loaded(index % 3)) for index in range(24)])
        states.append(random_states())
    for plain, distilled in zip(*epochs):
        assert_same_sample(plain, distilled)
        assert set(distilled) - set(plain) == {'hr_inputs'}
    np.testing.assert_equal(*states)


def test_a_fixed_ratio_draws_nothing_and_a_list_every_ratio():
    before = random_states()
    build([dict(type='PackDetInputs')], ratio=4, keep_hr=True)(loaded())
    np.testing.assert_equal(random_states(), before)

    transform = build([dict(type='PackDetInputs')], ratio=[2, 4, 8])
    truth = [low_resolution(PICTURES[1], ratio).transpose(2, 0, 1) for ratio in (2, 4, 8)]
    drawn = []
    seed(0)
    for _ in range(40):
        inputs = transform(loaded(1))['inputs'].numpy()
        drawn.append([np.array_equal(inputs, picture) for picture in truth])
    assert np.array(drawn).sum() == 40  # each sample is one of the three
    assert np.array(drawn).any(axis=0).all()  # each of the three occurs


def test_the_hr_twin_leaves_nothing_in_the_lr_sample():
    class SpoilInPlace:
        def __call__(self, results):
            results['img'] //= 2
            results['gt_bboxes'].rescale_((2.0, 2.0))
            results['gt_bboxes_labels'] += 1
            return results

    transform = build([SpoilInPlace(), dict(type='PackDetInputs')], ratio=1, keep_hr=True)
    start = loaded()
    sample = transform(copy.deepcopy(start))
    instances = sample['data_samples'].gt_instances
    assert torch.equal(instances.bboxes.tensor, start['gt_bboxes'].tensor * 2)
    assert instances.labels.tolist() == [1, 1]
    halved = torch.from_numpy(start['img'] // 2).permute(2, 0, 1)
    assert torch.equal(sample['inputs'], halved) and torch.equal(sample['hr_inputs'], halved)


@pytest.mark.parametrize('draw', [random.random, np.random.rand, lambda: torch.rand(()).item()])
def test_twins_draw_the_same_from_every_generator(draw):
    class Brighten:
        def __call__(self, results):
            results['img'] = results['img'] + np.float32(draw())
            return results

    transform = build([Brighten(), dict(type='PackDetInputs')], ratio=1, keep_hr=True)
    one, other = transform(loaded()), transform(loaded())
    assert torch.equal(one['inputs'], one['hr_inputs'])
    assert not torch.equal(one['inputs'], other['inputs'])


class Alternate:
    """A transform that treats every second picture differently."""

    def __init__(self, change):
        self.change = change
        self.calls = 0

    def __call__(self, results):
        self.calls += 1
        return self.change(results) if self.calls % 2 == 0 else results


def crop(results):
    results['img'] = results['img'][:-1]
    return results


def mark_flip(results):
    return results | dict(flip=True)


def move_boxes(results):
    results['gt_bboxes'].translate_((1, 0))
    return results


@pytest.mark.parametrize(
    'change, found',
    [
        (crop, r'shape \(3, 512, 512\) in the HR and \(3, 511, 512\) in the LR picture of 0.png'),
        (mark_flip, 'flip None in the HR and True in the LR'),
        (move_boxes, r'gt_instances\.bboxes tensor'),
    ],
)
def test_twins_treated_differently_are_refused(change, found):
    transforms = [Alternate(change), dict(type='PackDetInputs', meta_keys=('img_path', 'flip'))]
    transform = build(transforms, ratio=4, keep_hr=True)
    with pytest.raises(RuntimeError, match=rf"found {found}[\s\S]*\['Alternate', 'PackDetInputs'\]"):
        transform(loaded())
    assert build([Alternate(change), dict(type='PackDetInputs')], ratio=4)(loaded())


@pytest.mark.parametrize('skipped', ['both', 'hr', 'lr'])
def test_a_skipped_twin_skips_the_sample(skipped):
    class SkipOne:
        calls = 0

        def __call__(self, results):
            self.calls += 1
            now = {1: 'hr', 2: 'lr'}[self.calls]
            return None if skipped in (now, 'both') else results

    transform = build([SkipOne(), dict(type='PackDetInputs')], ratio=4, keep_hr=True)
    assert transform(loaded()) is None


@pytest.mark.parametrize(
    'settings, message',
    [
        (dict(transforms=[]), r'transforms=\[\] in LowResolution'),
        (dict(transforms=GEOMETRY), 'see only one picture of the pair.*ending with PackDetInputs'),
        (dict(ratio=None), 'exactly one of the two'),
        (dict(size=24), 'ratio=4 and size=24, expected exactly one'),
        (dict(ratio=[]), r'ratio=\[\]'),
        (dict(ratio=[2, 0.5]), r'ratio=\[2, 0.5\], expected at least one finite number, at least 1'),
        (dict(recipe='bicubic'), "recipe='bicubic', expected 'paper', 'authors', 'camera'"),
        (dict(recipe='camera'), "recipe='camera' without vary"),
    ],
)
def test_wrong_settings_fail_when_built(settings, message):
    with pytest.raises(ValueError, match=message):
        LowResolution(**dict(transforms=[dict(type='PackDetInputs')], ratio=4) | settings)


def test_an_image_must_be_loaded_first():
    with pytest.raises(ValueError, match=r"found no 'img' among.*img_path.*LoadImageFromFile before"):
        build(ratio=4)(dict(img_path='0.png'))


def test_a_classification_pipeline_keeps_the_pair():
    pytest.importorskip('mmpretrain.datasets')
    transforms = [
        dict(type='RandomResizedCrop', scale=64),
        dict(type='RandomFlip', prob=0.5),
        dict(type='ColorJitter', brightness=0.4, contrast=0.4),
        dict(type='RandomErasing', erase_prob=0.5, mode='rand'),
        dict(type='PackInputs'),
    ]
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        transform = build(transforms, ratio=1, keep_hr=True)
        plain = Compose(transforms)
    for number in range(10):
        seed(number)
        sample = transform(dict(img=PICTURES[0].copy(), gt_label=3))
        seed(number)
        expected = plain(dict(img=PICTURES[0].copy(), gt_label=3))
        assert isinstance(sample['data_samples'], BaseDataElement)
        assert torch.equal(sample['inputs'], sample['hr_inputs'])
        assert torch.equal(sample['inputs'], expected['inputs'])


def test_a_camera_varies_in_training_by_the_seed_and_treats_a_test_picture_always_alike():
    def pictures(vary, first_seed):
        transform = build([dict(type='PackDetInputs')], ratio=4, recipe='camera-drone', vary=vary)
        seed(first_seed)
        return [transform(loaded(1))['inputs'].numpy() for _ in range(3)]

    one, again, other = pictures(True, 0), pictures(True, 0), pictures(True, 1)
    assert all(np.array_equal(a, b) for a, b in zip(one, again))
    assert len({picture.tobytes() for picture in (*one, *other)}) == 6
    fixed = [*pictures(False, 0), *pictures(False, 1)]
    expected = low_resolution(PICTURES[1], 4, recipe='camera-drone').transpose(2, 0, 1)
    assert all(np.array_equal(picture, expected) for picture in fixed)
    before = random_states()
    build([dict(type='PackDetInputs')], ratio=4, recipe='camera', vary=False)(loaded())
    np.testing.assert_equal(random_states(), before)


def test_a_camera_photographs_a_part_of_a_picture_as_its_copy():
    """A crop is a view, whose bytes do not lie side by side."""
    transform = build([dict(type='PackDetInputs')], ratio=4, recipe='camera-drone', vary=False)
    part, whole = loaded(1), loaded(1)
    part['img'] = part['img'][3:-5, 2:-9]
    whole['img'] = part['img'].copy()
    assert not part['img'].flags.c_contiguous
    assert torch.equal(transform(part)['inputs'], transform(whole)['inputs'])


def test_a_camera_draws_one_of_all_kinds(monkeypatch):
    kinds = Counter()

    def watched(image, size, camera, rng):
        kinds[camera] += 1
        return photograph(image, size, camera, rng)

    # The package has a function of this module's name.
    monkeypatch.setattr(import_module('askd_mmdet.degradation.low_resolution'), 'photograph', watched)
    for number in range(40):
        low_resolution(PICTURES[1], 4, recipe='camera', rng=np.random.default_rng(number))
    assert set(kinds) == set(CAMERAS.values())


@pytest.mark.parametrize('recipe', ['paper', 'authors'])
def test_the_mirrored_twin_is_mirrored_before_it_is_degraded(recipe):
    image = np.random.default_rng(0).integers(0, 256, (16, 24, 3), np.uint8)
    transform = build([dict(type='PackDetInputs')], ratio=4, recipe=recipe, keep_mirrored=True)
    packed = transform(dict(loaded(), img=image.copy()))
    expected = low_resolution(np.ascontiguousarray(image[:, ::-1]), 4, recipe=recipe).transpose(2, 0, 1)
    np.testing.assert_array_equal(packed['data_samples'].mirrored, expected)
    np.testing.assert_array_equal(packed['inputs'], low_resolution(image, 4, recipe=recipe).transpose(2, 0, 1))
    assert np.array_equal(expected[..., ::-1], packed['inputs']) == (recipe == 'paper')


@pytest.mark.parametrize('shape, recipe', [((24, 24), 'authors'), ((30, 112), 'authors'), ((300, 24), 'paper')])
def test_only_images_that_are_smaller_are_enlarged_by_the_authors_recipe(shape, recipe):
    image = PICTURES[0][: shape[0], : shape[1]]
    found = TRANSFORMS.build(dict(type='ResizeToHR', size=112, recipe='authors'))(dict(img=image))
    np.testing.assert_array_equal(found['img'], enlarge(image, 112, recipe=recipe))
    assert found['img_shape'] == (112, 112)


def test_larger_images_are_reduced_without_aliasing():
    stripes = np.tile(np.uint8([0, 200]), (224, 112))
    assert np.ptp(ResizeToHR(112)(dict(img=stripes))['img'][:, 2:-2]) <= 1


def test_wrong_sizes_and_recipes_fail_when_built():
    with pytest.raises(ValueError, match=r'ResizeToHR: found size=1\.5, expected a whole number'):
        ResizeToHR(1.5)
    with pytest.raises(ValueError, match="recipe='nearest', expected"):
        ResizeToHR(112, recipe='nearest')


@pytest.mark.parametrize('ratio', [1, 2])
def test_a_transform_that_writes_into_a_picture_does_not_change_its_twin(ratio):
    class Blacken:
        def __call__(self, results):
            results['img'][:] = 0 if results['img'] is picture else results['img'] // 2
            return results

    class PackImage:
        def __call__(self, results):
            return dict(inputs=torch.from_numpy(results['img']))

    picture = PICTURES[0].copy()
    expected = low_resolution(picture, ratio) // 2
    sample = LowResolution([Blacken(), PackImage()], ratio=ratio, keep_hr=True)(dict(img=picture))
    assert not sample['hr_inputs'].any()
    np.testing.assert_array_equal(sample['inputs'], expected)


def configured(name):
    """The LowResolution of a training config."""
    cfg = load_config(f'askd_mmdet::{name}')
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        return TRANSFORMS.build(cfg.train_dataloader.dataset.pipeline[-1])


@pytest.mark.parametrize(
    'name',
    [
        'detection/tinaface_r50-bn-cbam_widerface-16x_askd.py',
        'recognition/arcface_ir50-cbam_casia-4x_askd.py',
        'classification/resnet18-cbam_cifar10-4x_askd.py',
    ],
)
def test_kept_draws_give_what_generators_that_are_set_back_give(name, monkeypatch):
    degrade = configured(name)
    before = [vars(step).copy() for step in degrade.pipeline]
    detects = name.startswith('detection')
    samples, states = [], []
    for kept in (True, False):
        if not kept:
            monkeypatch.setattr(transform_module, '_keeps_draws', lambda kind: False)
        else:
            monkeypatch.setattr(np.random, 'set_state', None)  # or nothing would be kept
        seed(0)
        starts = [loaded(i % 3) if detects else dict(img=PICTURES[i % 3], gt_label=0) for i in range(20)]
        samples.append([degrade(start) for start in starts])
        states.append(random_states())
        monkeypatch.undo()
    for kept, restored in zip(*samples):
        assert torch.equal(kept['inputs'], restored['inputs'])
        assert torch.equal(kept['hr_inputs'], restored['hr_inputs'])
        assert not torch.equal(kept['inputs'], kept['hr_inputs'])
        assert kept['inputs'].is_contiguous() and kept['hr_inputs'].is_contiguous()
        if detects:
            assert_same_sample(kept, restored)
    np.testing.assert_equal(*states)
    assert [vars(step) for step in degrade.pipeline] == before  # a copy of it, or a worker, would share the draws


def test_a_subclass_of_a_transform_that_is_known_is_not():
    class RandomFlip(TRANSFORMS.get('mmdet.RandomFlip')):
        def transform(self, results):
            results['img'] = results['img'] + np.float32(random.random())
            return super().transform(results)

    transform = build([RandomFlip(prob=0.5), dict(type='PackDetInputs')], ratio=1, keep_hr=True)
    sample = transform(loaded())
    assert torch.equal(sample['inputs'], sample['hr_inputs'])


@pytest.mark.parametrize('dtype', [np.uint8, np.float32])
def test_a_mirrored_view_is_a_picture_like_any_other(dtype):
    transform = build([dict(type='PackDetInputs')], ratio=4, keep_hr=True)
    views = PICTURES[1].astype(dtype)[5:-3, 2:-7]
    for view in (views[:, ::-1], views[::-1], views[::-1, ::-1], views[:, ::-1, :1], views[:, ::-1, 0]):
        found = transform(dict(loaded(), img=view))
        plain = transform(dict(loaded(), img=view.copy()))
        assert torch.equal(found['inputs'], plain['inputs']) and torch.equal(found['hr_inputs'], plain['hr_inputs'])
