"""The hook that logs the correlation of attention maps, in real trainings of the toy detector."""

import json
import logging
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.hooks import Hook
from mmengine.registry import DATASETS, RUNNERS, DefaultScope
from scipy.stats import pearsonr

pytest.importorskip('mmdet')

from askd_mmdet.distillation import AttentionCorrelationHook, DistillationHook
from askd_mmdet.training import build_model, load_weights, read_checkpoint
from tests.toy_run import ASKD, BASE, HR, ROOT, random_network, toy_config

LAST = {'layer1': 2, 'layer2': 3, 'layer3': 5, 'layer4': 2}  # blocks of ResNet-50
NAMES = {f'correlation/{kind}{stage}' for kind in ('spatial', 'channel') for stage in ('', *(f'/{s}' for s in LAST))}

pytestmark = pytest.mark.usefixtures('unformatted_configs')


@pytest.fixture(scope='module')
def teacher(toy_data, tmp_path_factory):
    """The checkpoint of an HR teacher whose maps differ from place to place."""
    folder = tmp_path_factory.mktemp('teacher')
    random_network(toy_config(HR, toy_data, folder), folder / 'teacher.pth')
    return folder / 'teacher.pth'


def config(name, data, work_dir, teacher=None, **options):
    """One epoch of four steps, and a validation."""
    return toy_config(name, data, work_dir, teacher, **{'train_cfg.max_epochs': 1, 'train_cfg.val_begin': 1, **options})


def train(cfg, *hooks):
    runner = RUNNERS.build(cfg)
    for hook in hooks:
        runner.register_hook(hook)
    runner.train()
    return runner


def logged(work_dir):
    """The scalars of every validation, as MMEngine's backends get them."""
    lines = next(Path(work_dir).glob('*/vis_data/scalars.json')).read_text().splitlines()
    return [scalars for line in lines if 'wider_face/hard' in (scalars := json.loads(line))]


def maps(cfg, checkpoint, data, config_of_data, indices):
    """Every pixel of the last blocks' maps, by an independent walk: stock modules, one picture after the other."""
    model = build_model(cfg)
    load_weights(model, checkpoint)
    model.eval()
    found = {}
    for kind in ('spatial', 'channel'):
        for stage, block in LAST.items():
            kept = found[f'{kind}/{stage}'] = []
            module = model.get_submodule(f'backbone.{stage}.{block}.cbam.{kind}_attention')
            module.register_forward_hook(lambda _, __, out, kept=kept: kept.append(out.double().numpy().ravel()))
    with DefaultScope.overwrite_default_scope('mmdet'):
        dataset = DATASETS.build(config_of_data.val_dataloader.dataset)
    for i in indices:
        sample = dataset[i]
        with torch.no_grad():
            model(model.data_preprocessor(dict(inputs=[sample['inputs']]))['inputs'], mode='tensor')
    return {name: 1 / (1 + np.exp(-np.concatenate(kept))) for name, kept in found.items()}


def by_hand(data, tmp_path, student, teacher, indices):
    """SciPy's r for each kind and stage, and the mean of each kind."""
    hr, lr = (toy_config(name, data, tmp_path) for name in (HR, BASE))
    wanted, seen = (maps(hr, weights, data, cfg, indices) for weights, cfg in ((teacher, hr), (student, lr)))
    r = {f'correlation/{name}': pearsonr(seen[name], wanted[name]).statistic for name in seen}
    for kind in ('spatial', 'channel'):
        r[f'correlation/{kind}'] = np.mean([r[f'correlation/{kind}/{stage}'] for stage in LAST])
    return r


@pytest.mark.parametrize('pictures, indices', [(None, [0]), (3, [0, 1, 2]), (2, [0, 2]), (100, [0, 1, 2, 3])])
def test_it_logs_scipy_s_r_beside_the_metrics(toy_data, teacher, tmp_path, pictures, indices):
    cfg = config(ASKD, toy_data, tmp_path, teacher, **{'default_hooks.correlation.pictures': pictures})
    train(cfg)
    (scalars,) = logged(tmp_path)
    assert {name for name in scalars if name.startswith('correlation')} == NAMES
    expected = by_hand(toy_data, tmp_path, tmp_path / 'epoch_1.pth', teacher, indices)
    assert {name: scalars[name] for name in NAMES} == pytest.approx(expected, abs=1e-4)
    assert len({round(r, 3) for r in expected.values()}) > 5  # it has something to tell


def test_a_run_with_it_equals_one_without_bit_for_bit(toy_data, teacher, tmp_path):
    """Two epochs, validated after each; a moving mean of the weights is what is validated."""
    options = {'train_cfg.max_epochs': 2, 'train_cfg.val_interval': 1, 'default_hooks.checkpoint.save_best': 'auto'}
    results = []
    for name in ('with', 'without'):
        cfg = config(ASKD, toy_data, tmp_path / name, teacher, **options)
        cfg.default_hooks.correlation.pictures = 4
        if name == 'without':
            del cfg.default_hooks.correlation
        cfg.custom_hooks.append(dict(type='EMAHook', momentum=0.5))
        train(cfg)
        metrics = [{k: v for k, v in line.items() if k.startswith('wider_face')} for line in logged(tmp_path / name)]
        saved = read_checkpoint(tmp_path / name / 'epoch_2.pth')
        best = {path.name for path in (tmp_path / name).glob('best_*')}
        results.append((metrics, best, saved['state_dict'], saved['ema_state_dict']))
    (metrics, best, *weights), (plain_metrics, plain_best, *plain_weights) = results
    assert metrics == plain_metrics and len(metrics) == 2 and best == plain_best and best
    assert 'correlation' not in str(best)
    for one, other in zip(weights, plain_weights):
        assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)

    # The weights that are validated are the moving mean, which the last checkpoint holds as its state_dict.
    (*_, scalars) = logged(tmp_path / 'with')
    expected = by_hand(toy_data, tmp_path, tmp_path / 'with/epoch_2.pth', teacher, range(4))
    assert {name: scalars[name] for name in NAMES} == pytest.approx(expected, abs=1e-4)
    assert logged(tmp_path / 'with')[0].keys() >= NAMES and logged(tmp_path / 'with')[0] != scalars


class Calls(Hook):
    """Keeps the numbers of the validation's pictures that are made, and counts the teacher's runs in it."""

    priority = 'LOW'

    def before_train(self, runner):
        self.read, self.teacher = [], 0
        dataset = runner.val_dataloader.dataset
        make = dataset.get_data_info
        dataset.get_data_info = lambda i: self.read.append(i) or make(i)
        teacher = next(hook for hook in runner.hooks if isinstance(hook, DistillationHook)).teacher
        for model in (teacher.model, teacher._built[0]):

            def count(*_):
                self.teacher += not runner.model.training

            model.register_forward_pre_hook(count)


def test_pictures_are_read_and_seen_by_the_teacher_once(toy_data, teacher, tmp_path):
    options = {'train_cfg.max_epochs': 3, 'train_cfg.val_interval': 1, 'val_dataloader.batch_size': 4}
    calls = Calls()
    runner = train(config(ASKD, toy_data, tmp_path, teacher, **options), calls)
    assert calls.read == [0, 1, 2, 3, 0, *[0, 1, 2, 3] * 2]  # a batch is made before hooks hear of it
    assert calls.teacher == 1
    assert not runner.val_dataloader.dataset.pipeline.transforms[-1].keep_hr
    assert len(logged(tmp_path)) == 3


def test_a_constant_map_is_left_out_and_said_once(toy_data, teacher, tmp_path, caplog):
    weights = read_checkpoint(teacher)
    weights['state_dict']['backbone.layer2.3.cbam.spatial_attention.conv.weight'].zero_()
    torch.save(weights, tmp_path / 'dull.pth')
    options = {'train_cfg.max_epochs': 2, 'train_cfg.val_interval': 1}
    cfg = config(ASKD, toy_data, tmp_path, tmp_path / 'dull.pth', **options)
    runner = RUNNERS.build(cfg)
    runner.logger.addHandler(caplog.handler)
    with caplog.at_level(logging.WARNING):
        runner.train()
    for scalars in logged(tmp_path):
        assert {name for name in scalars if name.startswith('correlation')} == NAMES - {'correlation/spatial/layer2'}
        rest = [scalars[f'correlation/spatial/layer{i}'] for i in (1, 3, 4)]
        assert scalars['correlation/spatial'] == pytest.approx(np.mean(rest))
    assert len(logged(tmp_path)) == 2
    said = [record.getMessage() for record in caplog.records if 'undefined' in record.getMessage()]
    assert len(said) == 1 and 'the spatial maps of layer2 is undefined' in said[0]


def test_what_became_undefined_is_not_logged_with_its_last_value(toy_data, teacher, tmp_path):
    class Dull(Hook):
        def before_val_epoch(self, runner):
            if runner.epoch == 2:
                runner.model.backbone.layer1[2].cbam.channel_attention.mlp[2].weight.data.zero_()

    options = {'train_cfg.max_epochs': 2, 'train_cfg.val_interval': 1}
    train(config(ASKD, toy_data, tmp_path, teacher, **options), Dull())
    first, second = logged(tmp_path)
    assert 'correlation/channel/layer1' in first and 'correlation/channel/layer1' not in second
    assert second.keys() >= NAMES - {'correlation/channel/layer1'}


@pytest.mark.parametrize('case', ['plain run', 'switched off', 'no attention', 'validated on HR'])
def test_without_two_kinds_of_maps_it_does_nothing(toy_data, teacher, tmp_path, case):
    if case == 'plain run':
        cfg = config(BASE, toy_data, tmp_path)
    elif case == 'switched off':
        cfg = config(ASKD, toy_data, tmp_path, teacher, **{'default_hooks.correlation.pictures': 0})
    elif case == 'no attention':
        hr = toy_config(HR, toy_data, tmp_path)
        hr.model.backbone.plugins = None
        random_network(hr, tmp_path / 'plain.pth')
        cfg = config(ASKD, toy_data, tmp_path, tmp_path / 'plain.pth')
        cfg.model.backbone.plugins = None
        cfg.custom_hooks[-1].teacher = dict(model=hr.model.to_dict(), default_scope='mmdet')
        cfg.custom_hooks[-1].losses = dict(loss_feature=dict(type='FeatureLoss', tap='backbone'))
    else:
        cfg = config(ASKD, toy_data, tmp_path, teacher)
        cfg.val_dataloader.dataset.pipeline[-1].ratio = 1
    train(cfg)
    (scalars,) = logged(tmp_path)
    assert not [name for name in scalars if 'correlation' in name]


def test_it_watches_students_of_other_methods_too(toy_data, teacher, tmp_path):
    cfg = config(ASKD, toy_data, tmp_path, teacher)
    cfg.custom_hooks[-1].losses = dict(loss_feature=dict(type='FeatureLoss', tap='backbone'))
    train(cfg)
    (scalars,) = logged(tmp_path)
    expected = by_hand(toy_data, tmp_path, tmp_path / 'epoch_1.pth', teacher, [0])
    assert {name: scalars[name] for name in NAMES} == pytest.approx(expected, abs=1e-4)


def test_a_teacher_of_another_architecture_stops_nothing(toy_data, tmp_path, caplog):
    """KD asks for logits alone: here of a teacher whose last stage has no attention."""
    hr = toy_config(HR, toy_data, tmp_path)
    hr.model.backbone.plugins[0].stages = (True, True, True, False)
    random_network(hr, tmp_path / 'three.pth')
    cfg = config(ASKD, toy_data, tmp_path, tmp_path / 'three.pth', **{'train_cfg.max_epochs': 2})
    cfg.train_cfg.val_interval = 1
    cfg.custom_hooks[-1].teacher = dict(model=hr.model.to_dict(), default_scope='mmdet')
    cfg.custom_hooks[-1].losses = dict(loss_feature=dict(type='FeatureLoss', tap='backbone'))
    runner = RUNNERS.build(cfg)
    runner.logger.addHandler(caplog.handler)
    runner.train()
    assert len(logged(tmp_path)) == 2 and not any('correlation' in name for line in logged(tmp_path) for name in line)
    said = [record.getMessage() for record in caplog.records if 'correlation' in record.getMessage()]
    assert len(said) == 1 and 'not logged: found 4 channel maps in the student and 3 in the teacher' in said[0]


def test_an_unreadable_picture_is_passed_over(toy_data, teacher, tmp_path):
    data = tmp_path / 'data'
    shutil.copytree(toy_data, data)
    sorted((data / 'WIDER_val/images').rglob('*.*'))[0].write_bytes(b'no picture')
    train(config(ASKD, data, tmp_path / 'run', teacher, **{'default_hooks.correlation.pictures': 4}))
    (scalars,) = logged(tmp_path / 'run')
    cfg = toy_config(HR, data, tmp_path)
    with DefaultScope.overwrite_default_scope('mmdet'):
        dataset = DATASETS.build(cfg.val_dataloader.dataset)
    readable = [i for i in range(4) if 'unreadable' not in dataset[i]['data_samples']]
    assert len(readable) == 3
    expected = by_hand(data, tmp_path, tmp_path / 'run/epoch_1.pth', teacher, readable)
    assert {name: scalars[name] for name in NAMES} == pytest.approx(expected, abs=1e-4)


def test_two_processes_share_the_pictures(toy_data, teacher, tmp_path):
    """Three pictures in two processes; the last checkpoint has the weights that both validated."""
    options = {
        'data_root': str(toy_data),
        'train_dataloader': dict(num_workers=0, batch_size=2, dataset=dict(data_root=str(toy_data))),
        'val_dataloader': dict(num_workers=0, dataset=dict(data_root=str(toy_data))),
        'val_evaluator': dict(ground_truth=f'{toy_data}/eval_tools/ground_truth'),
        'train_cfg': dict(max_epochs=1, val_interval=1),
        'default_hooks': dict(correlation=dict(pictures=3)),
        'work_dir': str(tmp_path),
    }
    config = tmp_path / 'student.py'
    config.write_text(
        f'_base_ = {str(ROOT / f"configs/toy/{ASKD}.py")!r}\n'
        + '\n'.join(f'{key} = {value!r}' for key, value in options.items())
        + f'\n_base_.custom_hooks[-1].checkpoint = {str(teacher)!r}\n'
    )
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = str(free.getsockname()[1])
    environment = dict(os.environ, PATH=f'{Path(sys.executable).parent}{os.pathsep}{os.environ["PATH"]}', PORT=port)
    command = ['tools/dist_train.sh', str(config), '2']
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    (scalars,) = logged(tmp_path)
    expected = by_hand(toy_data, tmp_path, tmp_path / 'epoch_1.pth', teacher, [0, 1, 2])
    assert {name: scalars[name] for name in NAMES} == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize('pictures', [-1, 1.5, '3', True])
def test_another_number_of_pictures_is_refused(pictures):
    with pytest.raises(ValueError, match='AttentionCorrelationHook: found pictures='):
        AttentionCorrelationHook(pictures)
