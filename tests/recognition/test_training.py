"""Real trainings of the toy recognizer: every method of the tables, then both protocols on its checkpoint."""

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import RUNNERS

from askd_mmdet.training import read_checkpoint
from tests.recognition.formats import jpeg, write_bundle
from tests.test_recognition_configs import METHODS, SMALL_METHODS, TEACHER
from tests.toy_run import ROOT, distillation, train

HR, BASE, ASKD = (f'arcface_ir18-cbam_toy{suffix}' for suffix in ('', '-8x', '-8x_askd'))


def toy_config(name, data, work_dir, teacher=None, **options):
    """A toy config on a small data set; `teacher` is the checkpoint to distil from."""
    cfg = Config.fromfile(ROOT / f'configs/toy/{name}.py')
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        loader.num_workers = 0
        loader.dataset.data_root = str(data)
    cfg.train_dataloader.batch_size = 6
    cfg.model.backbone.base_channels = 4
    cfg.merge_from_dict({'train_cfg.max_epochs': 1, 'train_cfg.val_begin': 5, 'log_level': 'WARNING', **options})
    cfg.work_dir = str(work_dir)
    if teacher:
        distillation(cfg).update(teacher=dict(model=cfg.model, default_scope='mmpretrain'), checkpoint=str(teacher))
    return cfg


@pytest.fixture(scope='module')
def teacher(toy_faces, tmp_path_factory):
    work_dir = tmp_path_factory.mktemp('recognizer')
    RUNNERS.build(toy_config(HR, toy_faces, work_dir)).train()
    return work_dir / 'epoch_1.pth'


@pytest.mark.parametrize('method', SMALL_METHODS)
def test_every_method_trains_with_the_losses_of_its_real_config(toy_faces, teacher, tmp_path, method):
    cfg = toy_config(ASKD, toy_faces, tmp_path, teacher)
    name = f'recognition/{TEACHER}-4x' if method in METHODS else 'small/arcface_ir18-cbam_faces-6px'
    distillation(cfg).losses = distillation(Config.fromfile(ROOT / f'configs/{name}_{method}.py')).losses
    _, steps = train(cfg)
    assert len(steps) == 2
    for step in steps:
        distilled = [step[name] for name in SMALL_METHODS[method]]
        assert all(0 < value < 1000 for value in distilled)
        assert step['loss'] == pytest.approx(step['loss_arcface'] + sum(distilled), rel=1e-5)
    saved = read_checkpoint(tmp_path / 'epoch_1.pth')['state_dict']
    assert saved.keys() == read_checkpoint(teacher)['state_dict'].keys()


def test_weight_0_equals_the_plain_run_bit_for_bit(toy_faces, teacher, tmp_path):
    plain, _ = train(toy_config(BASE, toy_faces, tmp_path / 'base'))
    cfg = toy_config(ASKD, toy_faces, tmp_path / 'askd', teacher)
    distillation(cfg).losses.loss_attention.weight = 0.0
    distilled, _ = train(cfg)
    a, b = plain.model.state_dict(), distilled.model.state_dict()
    assert all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize('setting', ['-4x', '-4x_askd'])
def test_adaface_trains_with_the_head_of_its_real_config(toy_faces, tmp_path, setting):
    head = Config.fromfile(ROOT / f'configs/recognition/adaface_ir50-cbam_casia{setting}.py').model.head
    settings = {f'model.head.{name}': head[name] for name in ('type', 'scale', 'margins')}
    hr = toy_config(HR, toy_faces, tmp_path / 'hr', **settings)
    RUNNERS.build(hr).train()
    teacher = tmp_path / 'hr/epoch_1.pth' if 'askd' in setting else None
    cfg = toy_config(ASKD if teacher else BASE, toy_faces, tmp_path / 'student', teacher, **settings)
    if teacher:
        distillation(cfg).teacher.model = hr.model
    runner, steps = train(cfg)
    assert type(runner.model.head).__name__ == 'AdaFaceHead'
    assert all(0 < step['loss_adaface'] < 200 for step in steps)
    assert all(('loss_attention' in step) == bool(teacher) for step in steps)


def test_a_student_keeps_the_teachers_classifier(toy_faces, teacher, tmp_path):
    real = Config.fromfile(ROOT / 'configs/recognition/arcface_ir50-cbam_casia-4x_askd-classifier.py')
    cfg = toy_config(ASKD, toy_faces, tmp_path, teacher)
    distillation(cfg).inherit = distillation(real).inherit
    cfg.optim_wrapper.paramwise_cfg = real.optim_wrapper.paramwise_cfg
    train(cfg)
    ours, theirs = (read_checkpoint(path)['state_dict'] for path in (tmp_path / 'epoch_1.pth', teacher))
    assert torch.equal(ours['head.norm_product.weight'], theirs['head.norm_product.weight'])
    assert not torch.equal(ours['backbone.input_layer.0.weight'], theirs['backbone.input_layer.0.weight'])


def test_what_was_trained_further_is_not_handed_down_again(toy_faces, teacher, tmp_path):
    found = {}
    for name, stops in dict(whole=[2], resumed=[1, 2]).items():
        for epochs in stops:
            options = {'train_cfg.max_epochs': epochs, 'resume': epochs > stops[0]}
            cfg = toy_config(ASKD, toy_faces, tmp_path / name, teacher, **options)
            distillation(cfg).inherit = ['head.norm_product']
            train(cfg)
        found[name] = read_checkpoint(tmp_path / name / 'epoch_2.pth')['state_dict']
    assert all(torch.equal(found['whole'][key], found['resumed'][key]) for key in found['whole'])
    inherited = read_checkpoint(teacher)['state_dict']['head.norm_product.weight']
    assert not torch.equal(found['whole']['head.norm_product.weight'], inherited)


@pytest.mark.parametrize('name', ['head.fc', 'head'])
def test_what_cannot_be_handed_down_is_named(toy_faces, teacher, tmp_path, name):
    cfg = toy_config(ASKD, toy_faces, tmp_path, teacher, **{'model.head.num_classes': 5})
    distillation(cfg).inherit = [name]
    distillation(cfg).teacher.model = toy_config(HR, toy_faces, tmp_path).model
    with pytest.raises(ValueError, match=f"the student cannot begin with '{name}' of the teacher"):
        train(cfg)


def test_a_checkpoint_verifies_and_identifies(toy_faces, teacher, tmp_path):
    cfg = toy_config(BASE, toy_faces, tmp_path / 'verify', load_from=str(teacher))
    metrics = RUNNERS.build(cfg).test()
    assert 20 < metrics['verification/accuracy'] <= 100 and 0 < metrics['verification/auc'] <= 100
    cfg = toy_config(BASE, toy_faces, tmp_path / 'identify', load_from=str(teacher))
    pipeline = cfg.test_dataloader.dataset.pipeline
    cfg.test_dataloader.dataset = dict(type='TinyFaceDataset', data_root=str(toy_faces), pipeline=pipeline)
    cfg.test_evaluator = dict(type='IdentificationMetric')
    metrics = RUNNERS.build(cfg).test()
    assert 0 <= metrics['identification/rank@1'] <= metrics['identification/rank@50'] <= 100


@pytest.mark.parametrize('kind', ['PairListDataset', 'PairBundleDataset'])
def test_a_picture_is_embedded_once_in_however_many_pairs_it_is(toy_faces, teacher, tmp_path, monkeypatch, kind):
    pairs = [(0, 1), (1, 2), (0, 2), (2, 3)] * 3
    for i in range(4):
        (tmp_path / f'{i}.jpg').write_bytes(jpeg(i))
    (tmp_path / 'pairs.txt').write_text(''.join(f'{a}.jpg {b}.jpg {(a + b) % 2}\n' for a, b in pairs))
    write_bundle(
        tmp_path / 'pairs.bin', [jpeg(i) for pair in pairs for i in pair], [(a + b) % 2 == 1 for a, b in pairs]
    )
    cfg = toy_config(BASE, toy_faces, tmp_path / 'run', load_from=str(teacher))
    file = 'pairs.txt' if kind == 'PairListDataset' else 'pairs.bin'
    pipeline = cfg.test_dataloader.dataset.pipeline
    cfg.test_dataloader.update(batch_size=3)
    cfg.test_dataloader.dataset = dict(type=kind, data_root=str(tmp_path), ann_file=file, pipeline=pipeline)
    cfg.test_evaluator.folds = 2
    runner = RUNNERS.build(cfg)
    seen = []
    predict = runner.model.predict
    monkeypatch.setattr(
        runner.model, 'predict', lambda inputs, *args: seen.append(len(inputs)) or predict(inputs, *args)
    )
    assert 0 <= runner.test()['verification/accuracy'] <= 100
    assert seen == [3, 1]


def test_training_validates_and_keeps_the_best(toy_faces, tmp_path):
    train(toy_config(HR, toy_faces, tmp_path, **{'train_cfg.val_begin': 1}))
    assert list(tmp_path.glob('best_verification_accuracy_epoch_1.pth'))


def test_more_identities_than_classes_is_a_clear_error(toy_faces, tmp_path):
    with pytest.raises(ValueError, match=r'have (\d+) classes, and the head has 2: set model.head.num_classes=\1$'):
        train(toy_config(HR, toy_faces, tmp_path, **{'model.head.num_classes': 2}))
