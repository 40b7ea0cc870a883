"""The hook degrades the data sets of a library's config where a person would have written LowResolution into them."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from mmcv.transforms import Compose
from mmdet.utils import register_all_modules
from mmengine.hooks import Hook
from mmengine.hub import get_config
from mmengine.registry import DATASETS, RUNNERS, DefaultScope
from torchvision.datasets import FakeData

import askd_mmdet.core  # noqa: F401
from askd_mmdet.degradation import LowResolution, LowResolutionHook, low_resolution
from askd_mmdet.degradation.pipelines import degradations, pipeline_of, refuse_switches
from askd_mmdet.distillation import DistillationHook
from askd_mmdet.training.seed import seed_all
from tests.own_model import TRAIN, detector
from tests.toy_run import train

pytestmark = pytest.mark.usefixtures('unformatted_configs')


@pytest.fixture(autouse=True)
def scope():
    with DefaultScope.overwrite_default_scope('mmdet'):
        yield


def built(dataset):
    register_all_modules(init_default_scope=False)
    return DATASETS.build(dataset)


def of_coco(coco, pipeline=TRAIN, **settings):
    folder = dict(data_root=f'{coco}/', ann_file='annotations.json', data_prefix=dict(img=''))
    return dict(type='CocoDataset', metainfo=dict(classes=['person']), pipeline=pipeline, **folder, **settings)


def runner_of(train, val=None, test=None, hooks=()):
    """What the hook sees of a runner."""
    loops = [data and SimpleNamespace(dataloader=SimpleNamespace(dataset=data)) for data in (train, val, test)]
    names = dict(zip(('train_loop', 'val_loop', 'test_loop'), loops))
    return SimpleNamespace(hooks=list(hooks), train_dataloader=loops[0] and loops[0].dataloader, **names)


def degraded_by_hand(results, ratio):
    results['img'] = low_resolution(results['img'], ratio)
    return results


def expected(dataset, index, start, ratio):
    """A sample by the stock transforms, with one of ours between them."""
    transforms = dataset.pipeline.transforms
    steps = [*transforms[:start], lambda results: degraded_by_hand(results, ratio), *transforms[start:]]
    seed_all([index])
    return Compose(steps)(dataset.get_data_info(index))


def sample(dataset, index):
    seed_all([index])
    return dataset.pipeline(dataset.get_data_info(index))


def test_training_and_validation_are_degraded_after_the_picture_is_loaded(coco):
    test_pipeline = get_config('mmdet::_base_/datasets/coco_detection.py').test_pipeline
    plain, data = (built(of_coco(coco)) for _ in range(2))
    plain_val, val, test = (built(of_coco(coco, test_pipeline, test_mode=True)) for _ in range(3))
    hook = LowResolutionHook(ratio=3)
    runner = runner_of(data, val, test)
    hook.before_train(runner)
    hook.before_val(runner)  # as before every validation of a training
    hook.before_test(runner)
    for index in range(4):
        found = sample(data, index)
        assert torch.equal(found['inputs'], expected(plain, index, 2, 3)['inputs'])
        assert 'hr_inputs' not in found
        # The boxes of a validation are loaded after its picture is resized, which is no reason to degrade it so late.
        for dataset in (val, test):
            assert torch.equal(sample(dataset, index)['inputs'], expected(plain_val, index, 1, 3)['inputs'])


def test_training_keeps_hr_images_for_a_hook_that_takes_them(coco):
    plain, data, val = (built(of_coco(coco)) for _ in range(3))
    student = DistillationHook('teacher.py', 'teacher.pth', dict(loss_feature=dict(type='FeatureLoss')))
    LowResolutionHook(ratio=3).before_train(runner_of(data, val, hooks=[student]))
    for index in range(4):
        found = sample(data, index)
        assert torch.equal(found['hr_inputs'], expected(plain, index, 2, 1)['inputs'])
        assert torch.equal(found['inputs'], expected(plain, index, 2, 3)['inputs'])
        assert not torch.equal(found['inputs'], found['hr_inputs'])
    assert 'hr_inputs' not in sample(val, 0)


def test_the_settings_are_those_of_the_degradation(coco):
    settings = dict(size=20, sigma=0.8, recipe='authors')
    data = built(of_coco(coco))
    LowResolutionHook(**settings).before_train(runner_of(data))
    found = sample(data, 1)['inputs']
    image = low_resolution(cv2.imread(f'{coco}/1.png'), **settings)
    image = cv2.resize(image, (64, 64))
    mirrored = image[:, ::-1]
    assert any(np.array_equal(found.permute(1, 2, 0).numpy(), picture) for picture in (image, mirrored))


def test_a_camera_varies_in_training_alone(coco):
    train, val = built(of_coco(coco)), built(of_coco(coco))
    runner = runner_of(train, val)
    LowResolutionHook(ratio=4, recipe='camera').before_train(runner)
    assert [degradations(data)[0].vary for data in (train, val)] == [True, False]


def test_many_ratios_need_one_to_validate_at(coco):
    data, val, plain = (built(of_coco(coco)) for _ in range(3))
    LowResolutionHook(ratio=[2, 4], test_ratio=4).before_train(runner_of(data, val))
    assert data.pipeline.transforms[-1].ratios == [2, 4]
    assert torch.equal(sample(val, 0)['inputs'], expected(plain, 0, 2, 4)['inputs'])
    with pytest.raises(ValueError, match=r'ratio=\[2, 4\], expected test_ratio'):
        LowResolutionHook(ratio=[2, 4])


def test_after_names_the_last_transform_that_sees_the_picture_as_it_is(coco):
    plain, data = (built(of_coco(coco)) for _ in range(2))
    LowResolutionHook(ratio=4, after=['Resize', 'CenterCrop']).before_train(runner_of(data))
    assert torch.equal(sample(data, 2)['inputs'], expected(plain, 2, 3, 4)['inputs'])
    LowResolutionHook(ratio=4, after='RandomFlip').before_train(runner_of(data := built(of_coco(coco))))
    assert torch.equal(sample(data, 2)['inputs'], expected(plain, 2, 4, 4)['inputs'])
    with pytest.raises(ValueError, match=r"none of after=\['Rezise'\] in the validation pipeline \['LoadImage"):
        LowResolutionHook(ratio=4, after='Rezise').before_val(runner_of(None, built(of_coco(coco))))


@pytest.mark.parametrize(
    'wrapped',
    [
        lambda inner: dict(type='ConcatDataset', datasets=[inner, inner]),
        lambda inner: dict(type='RepeatDataset', times=2, dataset=inner),
        lambda inner: dict(type='RepeatDataset', times=2, dataset=dict(type='ConcatDataset', datasets=[inner, inner])),
    ],
    ids=['concat', 'repeat', 'both'],
)
def test_wrapped_data_sets_are_degraded_inside_and_once(coco, wrapped):
    plain = built(of_coco(coco))
    data = built(wrapped(of_coco(coco)))
    LowResolutionHook(ratio=4).before_train(runner_of(data))
    for index in (0, len(data) - 1):
        seed_all([index % 4])
        found = data[index]
        assert torch.equal(found['inputs'], expected(plain, index % 4, 2, 4)['inputs'])


class LikeMMEngine0107:
    """The endless iterator of MMEngine 0.10.7, whose workers start, with a copy of the data, before any hook runs."""

    def __init__(self, dataloader):
        self._dataloader, self._iterator = dataloader, iter(dataloader)

    def __next__(self):
        return next(self._iterator)

    def skip_iter(self, number):
        pass


class Batches(Hook):
    """Keeps what the model is given."""

    def __init__(self):
        self.seen = []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.seen.append(data_batch)


@pytest.mark.parametrize('eager', [False, True])
def test_worker_processes_of_a_training_by_iterations_degrade_too(coco, tmp_path, monkeypatch, eager):
    if eager:
        monkeypatch.setattr('mmengine.runner.loops._InfiniteDataloaderIterator', LikeMMEngine0107)
    differences = []
    for hooks in ([], [dict(type='LowResolutionHook', size=8)]):
        cfg = detector(coco, tmp_path, hooks)
        cfg.train_dataloader.num_workers = 1
        cfg.train_cfg = dict(type='IterBasedTrainLoop', max_iters=1, val_interval=5)
        runner, batches = RUNNERS.build(cfg), Batches()
        runner.register_hook(batches)
        runner.train()
        differences.append(np.mean([picture.float().diff().abs().mean() for picture in batches.seen[0]['inputs']]))
    hr, lr = differences
    assert lr < 0.2 * hr  # eight of 64 columns leave little of the noise


MIXED = dict(
    type='MultiImageMixDataset', pipeline=[dict(type='Mosaic', img_scale=(64, 64)), dict(type='PackDetInputs')]
)
CHOICE = [
    *TRAIN[:2],
    dict(type='RandomChoice', transforms=[[dict(type='CachedMixUp', img_scale=(64, 64))]]),
    dict(type='PackDetInputs'),
]


@pytest.mark.parametrize(
    'dataset, message',
    [
        (
            lambda coco: of_coco(coco, [*TRAIN[:2], dict(type='LowResolution', ratio=2, transforms=TRAIN[2:])]),
            'training pipeline has a LowResolution already',
        ),
        (lambda coco: of_coco(coco, TRAIN[:-1]), r"training pipeline: found transforms=\['Resize', 'RandomFlip'\]"),
        (lambda coco: of_coco(coco, CHOICE), 'CachedMixUp in LowResolution, which mixes pictures that nobody degrades'),
        (
            lambda coco: of_coco(coco, [*TRAIN[:2], *TRAIN[2:4], TRAIN[0], TRAIN[-1]]),
            'LoadImageFromFile in LowResolution, which loads pictures that nobody degrades',
        ),
        (lambda coco: dict(MIXED, dataset=of_coco(coco, TRAIN[:2])), 'single pictures in the training data set Multi'),
    ],
    ids=['degraded-already', 'nothing-packs', 'mixes', 'loads', 'wrapper-mixes'],
)
def test_what_cannot_be_paired_is_refused(coco, dataset, message):
    with pytest.raises(ValueError, match=message):
        LowResolutionHook(ratio=4).before_train(runner_of(built(dataset(coco))))


def test_a_data_set_without_a_pipeline_is_refused():
    with pytest.raises(ValueError, match='no pipeline of single pictures in the test data set FakeData'):
        LowResolutionHook(ratio=4).before_test(runner_of(None, None, FakeData(2)))


def switch(pipeline):
    return [
        dict(type='LowResolutionHook', ratio=4),
        dict(type='PipelineSwitchHook', switch_epoch=280, switch_pipeline=pipeline),
    ]


def test_an_lr_base_is_not_switched_to_hr_pictures_later(coco, tmp_path):
    with pytest.raises(
        ValueError, match='PipelineSwitchHook would bring a training pipeline without LowResolution, and'
    ):
        train(detector(coco, tmp_path, switch(TRAIN)))
    later = [*TRAIN[:2], dict(type='LowResolution', ratio=4, transforms=TRAIN[2:])]
    runner, _ = train(detector(coco, tmp_path, switch(later)))
    assert isinstance(runner.train_dataloader.dataset.pipeline.transforms[-1], LowResolution)


def test_mosaic_may_be_closed_by_name_before_the_degradation_but_not_inside(coco):
    """YOLOX: what mixes pictures runs outside, and its hook finds it there."""
    hook = type('YOLOXModeSwitchHook', (), dict(skip_type_keys=('Mosaic', 'Resize')))
    mosaic = dict(type='Mosaic', img_scale=(64, 64))

    def mixed(outside, inside):
        step = dict(type='LowResolution', ratio=4, keep_hr=True, transforms=[*inside, TRAIN[-1]])
        return built(dict(MIXED, dataset=of_coco(coco, TRAIN[:2]), pipeline=[*outside, step]))

    data = mixed([mosaic, TRAIN[2]], [TRAIN[3]])
    refuse_switches(runner_of(data, hooks=[hook()]), keep_hr=True)
    for closed in ((), ('Mosaic', 'Resize')):
        data.update_skip_type_keys(closed)
        found = data[0]
        assert found['inputs'].shape == found['hr_inputs'].shape and not torch.equal(
            found['inputs'], found['hr_inputs']
        )
    with pytest.raises(ValueError, match=r"MultiImageMixDataset cannot since \['Resize'\] stand inside LowResolution"):
        refuse_switches(runner_of(mixed([mosaic], TRAIN[2:4]), hooks=[hook()]), keep_hr=True)
    with pytest.raises(
        ValueError, match=r"close \['Mosaic', 'Resize'\] by name in later epochs, which CocoDataset can"
    ):
        refuse_switches(runner_of(built(of_coco(coco)), hooks=[hook()]), keep_hr=True)


@pytest.mark.parametrize('inner', [{}, dict(dataset=dict(type='CocoDataset')), dict(datasets=[])])
def test_a_data_set_without_a_pipeline_is_refused_by_name(inner):
    with pytest.raises(ValueError, match='the data set RepeatDataset has no pipeline'):
        pipeline_of(dict(type='mmengine.dataset.RepeatDataset', **inner))
