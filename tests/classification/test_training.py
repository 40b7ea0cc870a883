"""Real trainings of the toy classifier: every method of table 4, and CIFAR-10 from its batches."""

import shutil

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import RUNNERS

from askd_mmdet.toy import make_picture_classes
from askd_mmdet.training import read_checkpoint
from tests.classification.test_class_datasets import write_batches
from tests.toy_run import ROOT, distillation, train

METHODS = {
    'kd': ['loss_logit'],
    'askd': ['loss_attention'],
    'askd-kd': ['loss_logit', 'loss_attention'],
    'at-kd': ['loss_logit', 'loss_attention'],
    'rkd-kd': ['loss_logit', 'loss_relation'],
    'dist': ['loss_relation'],
}


@pytest.fixture(scope='session')
def toy_pictures(tmp_path_factory):
    """A toy ImageNet of two training pictures and one validation picture of each class."""
    folder = tmp_path_factory.mktemp('toy') / 'pictures'
    make_picture_classes(folder, train_pictures=2, val_pictures=1)
    return folder


def shrink(cfg, data, work_dir, **options):
    """A config on a small data set, for one epoch without a validation."""
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        loader.num_workers = 0
        loader.batch_size = 6
        loader.dataset.data_root = str(data)
    cfg.merge_from_dict({'train_cfg.max_epochs': 1, 'train_cfg.val_begin': 5, 'log_level': 'WARNING', **options})
    cfg.work_dir = str(work_dir)
    return cfg


def toy_config(data, work_dir, ratio=1, method=None, teacher=None, **options):
    """The toy experiment at a resolution; with the method of a real config and the teacher's checkpoint, distilled."""
    cfg = Config.fromfile(ROOT / 'configs/toy/resnet18-cbam_toy.py')
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        loader.dataset.pipeline[-1].ratio = ratio
    if method:
        cfg.train_dataloader.dataset.pipeline[-1].keep_hr = True
        real = Config.fromfile(ROOT / f'configs/classification/resnet18-cbam_imagenet-4x_{method}.py')
        hr = str(ROOT / 'configs/toy/resnet18-cbam_toy.py')
        cfg.custom_hooks.append(dict(distillation(real), teacher=hr, checkpoint=str(teacher)))
    return shrink(cfg, data, work_dir, **options)


@pytest.fixture(scope='module')
def teacher(toy_pictures, tmp_path_factory):
    work_dir = tmp_path_factory.mktemp('classifier')
    train(toy_config(toy_pictures, work_dir))
    return work_dir / 'epoch_1.pth'


@pytest.mark.parametrize('method', METHODS)
def test_every_method_trains_with_the_losses_of_its_real_config(toy_pictures, teacher, tmp_path, method):
    _, steps = train(toy_config(toy_pictures, tmp_path, 4, method, teacher))
    assert len(steps) == 3
    for step in steps:
        # mmpretrain's heads name the cross entropy 'loss', which is the name of the sum.
        assert set(step) == {'loss', 'loss_task', *METHODS[method]}
        assert step['loss'] == pytest.approx(sum(step.values()) - step['loss'], rel=1e-5)
        assert all(0 < value < 1000 for value in step.values())
    saved = read_checkpoint(tmp_path / 'epoch_1.pth')['state_dict']
    assert saved.keys() == read_checkpoint(teacher)['state_dict'].keys()


@pytest.fixture(scope='module')
def base(toy_pictures, tmp_path_factory):
    """The weights of the LR base."""
    runner, _ = train(toy_config(toy_pictures, tmp_path_factory.mktemp('base'), 4))
    return runner.model.state_dict()


@pytest.mark.parametrize('method', METHODS)
def test_weight_0_equals_the_plain_run_bit_for_bit(toy_pictures, teacher, base, tmp_path, method):
    cfg = toy_config(toy_pictures, tmp_path, 4, method, teacher)
    for loss in distillation(cfg).losses.values():
        loss.weight = 0.0
    distilled, _ = train(cfg)
    found = distilled.model.state_dict()
    assert found.keys() == base.keys() and all(torch.equal(found[name], base[name]) for name in base)


@pytest.mark.parametrize('method', ['at-kd', 'rkd-kd'])
def test_equal_networks_that_see_equal_pictures_differ_in_nothing(toy_pictures, teacher, tmp_path, method):
    """At 1x, a student with the teacher's weights and its norms in evaluation: every distance is 0."""
    cfg = toy_config(toy_pictures, tmp_path, 1, method, teacher, load_from=str(teacher))
    cfg.model.backbone.norm_eval = True
    cfg.optim_wrapper.optimizer.lr = 0.0
    for step in train(cfg)[1]:
        assert all(abs(step[name]) < 1e-4 for name in METHODS[method]), step


def test_a_run_validates_keeps_the_best_and_can_be_tested(toy_pictures, tmp_path):
    train(toy_config(toy_pictures, tmp_path, **{'train_cfg.val_begin': 1, 'train_cfg.val_interval': 1}))
    (best,) = tmp_path.glob('best_accuracy_top1_epoch_1.pth')
    metrics = RUNNERS.build(toy_config(toy_pictures, tmp_path / 'test', load_from=str(best))).test()
    assert 0 <= metrics['accuracy/top1'] <= metrics['accuracy/top5'] <= 100


@pytest.mark.parametrize('method', ['askd-kd', 'rkd-kd'])
def test_cifar_trains_and_distils_from_its_batches(tmp_path, monkeypatch, method):
    write_batches(tmp_path, monkeypatch, count=3)
    hr = shrink(Config.fromfile(ROOT / 'configs/classification/resnet18-cbam_cifar10.py'), tmp_path, tmp_path / 'hr')
    _, steps = train(hr)
    assert len(steps) == 2
    cfg = Config.fromfile(ROOT / f'configs/classification/resnet18-cbam_cifar10-4x_{method}.py')
    distillation(cfg).checkpoint = str(tmp_path / 'hr/epoch_1.pth')
    _, steps = train(shrink(cfg, tmp_path, tmp_path / 'student', **{'train_cfg.val_begin': 1}))
    for step in steps:
        assert all(0 < step[name] < 1000 for name in METHODS[method])
    assert list((tmp_path / 'student').glob('best_accuracy_top1_epoch_1.pth'))


def test_a_split_that_lacks_a_class_is_refused_before_its_labels_mean_others(tmp_path):
    data = tmp_path / 'pictures'
    make_picture_classes(data, train_pictures=2, val_pictures=1)
    names = sorted(path.name for path in (data / 'train').iterdir())
    cfg = toy_config(data, tmp_path / 'run', **{'train_cfg.val_begin': 1})
    train(cfg)
    shutil.rmtree(data / 'val' / names[1])
    expected = rf'the {{}} data have other classes than the training data, 1 missing \({names[1]}\), .*same folders'
    with pytest.raises(ValueError, match=expected.format('validation')):
        train(toy_config(data, tmp_path / 'again'))
    cfg.load_from = str(tmp_path / 'run/epoch_1.pth')
    with pytest.raises(ValueError, match=expected.format('test')):
        RUNNERS.build(cfg).test()
    (data / 'val' / names[1]).mkdir()  # empty, it keeps its number
    RUNNERS.build(cfg).test()


def test_the_classes_that_weights_were_trained_on_before_are_forgotten(toy_pictures, teacher, tmp_path):
    checkpoint = read_checkpoint(teacher)
    classes = checkpoint['meta']['dataset_meta']['classes']
    checkpoint['meta']['dataset_meta']['classes'] = classes[::-1]
    torch.save(checkpoint, tmp_path / 'others.pth')
    cfg = toy_config(toy_pictures, tmp_path / 'run', load_from=str(tmp_path / 'others.pth'))
    runner, _ = train(cfg)
    runner.test()
    with pytest.raises(ValueError, match='the test data have other classes than the training data, in another order'):
        RUNNERS.build(cfg).test()


def test_more_classes_than_the_head_has_are_refused(toy_pictures, tmp_path):
    cfg = toy_config(toy_pictures, tmp_path, **{'model.head.num_classes': 2})
    with pytest.raises(ValueError, match=r'have (\d+) classes, and the head has 2: set model.head.num_classes=\1$'):
        train(cfg)
