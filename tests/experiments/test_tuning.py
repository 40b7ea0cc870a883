"""`askd tune`: real trainings that are killed, and many trials whose trainings are made up."""

import argparse
import csv
import fcntl
import json
import math
import signal
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config, DictAction
from mmengine.registry import DATASETS, METRICS, DefaultScope
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState, create_trial

from askd_mmdet.commands import main
from askd_mmdet.experiments import tuning
from askd_mmdet.toy import make_picture_classes
from tests.recognition.formats import jpeg, write_records
from tests.toy_run import COMMAND, ROOT, toy_config

LAMBDA = 'custom_hooks.4.losses.loss_attention.weight'
SMALL = [
    'train_cfg.max_epochs=2',
    'train_dataloader.batch_size=4',
    *(f'{part}_dataloader.num_workers=0' for part in ('train', 'test')),
]


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    """Toy pictures, few enough for a training of seconds."""
    folder = tmp_path_factory.mktemp('data')
    make_picture_classes(folder / 'toy_pictures', train_pictures=3, val_pictures=1)
    return folder


@pytest.fixture(scope='module')
def config(tmp_path_factory):
    """An A-SKD student of the toy pictures' teacher."""
    path = tmp_path_factory.mktemp('configs') / 'student.py'
    path.write_text(f"""
_base_ = '{ROOT}/configs/toy/resnet18-cbam_toy.py'
_base_.train_dataloader.dataset.pipeline[-1].update(ratio=4, keep_hr=True)
_base_.test_dataloader.dataset.pipeline[-1].ratio = 4
hook = dict(
    type='DistillationHook',
    teacher='askd_mmdet::toy/resnet18-cbam_toy.py',
    checkpoint='none.pth',
    losses=dict(loss_attention=dict(type='AttentionSimilarityLoss', weight=5.0)),
)
custom_hooks = [*_base_.custom_hooks, hook]
""")
    return path


def options(data, work_dir, *more):
    return ['--data', data, '--work-dir', work_dir, *more, '--cfg-options', *SMALL]


def read(folder):
    """The rows of `search.csv`, and the cells of the table in `search.md` below its head."""
    with (folder / 'search.csv').open() as file:
        rows = list(csv.DictReader(file))
    lines = (folder / 'search.md').read_text().splitlines()
    cells = [[cell.strip() for cell in line.strip('|').split('|')] for line in lines if line[:2] == '| ']
    return rows, cells[1:]


def test_a_killed_search_goes_on(config, data, tmp_path):
    arguments = [*COMMAND, 'tune', config, *options(data, tmp_path, '--trials', 2)]
    arguments = list(map(str, arguments))
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    folder = tmp_path / 'student'
    first = folder / 'trial0/seed0/epoch_1.pth'
    deadline = time.time() + 200
    while not first.exists() and time.time() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    teacher = tmp_path / 'resnet18-cbam_toy/seed0/epoch_2.pth'
    trained = teacher.stat().st_mtime

    done = subprocess.run(arguments, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert teacher.stat().st_mtime == trained and 'train resnet18-cbam_toy,' not in done.stdout
    log = (folder / 'trial0/seed0/train.log').read_text()
    assert 'resumed epoch: 1' in log or not done.stdout.count('train student/trial0')  # unless it was killed too late
    rows, cells = read(folder)
    assert [row['state'] for row in rows] == ['finished', 'finished']
    for row in rows:
        metrics = json.loads((folder / f'trial{row["number"]}/seed0/test/metrics.json').read_text())
        assert float(row['accuracy/top1']) == metrics['accuracy/top1']
        trained = Config.fromfile(folder / f'trial{row["number"]}/seed0.py')
        assert trained.custom_hooks[4].losses.loss_attention.weight == float(row[LAMBDA])
        assert trained.train_dataloader.dataset.dataset.data_root == f'{data}/toy_pictures/'
    assert sorted(float(cell[-1]) for cell in cells) == sorted(round(float(row['accuracy/top1']), 4) for row in rows)
    assert (folder / 'search.md').read_text() in done.stdout
    assert cv2.imread(str(folder / 'search.png')) is not None
    assert '[I ' not in done.stdout + done.stderr and 'Traceback' not in done.stderr  # Optuna is silent


class MadeUp:
    """Stands in for `run_jobs`: trainings take no time, and are best where lambda is 3."""

    def __init__(self):
        self.ran, self.broken, self.interrupt, self.metrics = [], '', '', {}

    def __call__(self, jobs, slots, gpus):
        failures = {}
        for job in jobs:
            if job.is_done():
                continue
            if self.interrupt and self.interrupt in job.label:
                raise KeyboardInterrupt
            if need := next((need for need in job.needs if need in failures), None):
                failures[job] = f'it needs {need.label}'
                continue
            self.ran.append(job.label)
            if self.broken and self.broken in job.label:
                failures[job] = 'the disk is full'
            elif job.label.startswith('train'):
                job.log.parent.mkdir(parents=True, exist_ok=True)
                (job.log.parent / 'epoch_2.pth').touch()
            else:
                trained = Config.fromfile(Path(job.command[5]).parent.with_suffix('.py'))
                weight = trained.custom_hooks[4].losses.loss_attention.weight
                out = Path(job.command[job.command.index('--out') + 1])
                out.parent.mkdir(parents=True, exist_ok=True)
                out.write_text(json.dumps({'accuracy/top1': 90 - abs(math.log(weight / 3)), **self.metrics}))
        return failures


@pytest.fixture
def call(monkeypatch, config, data, tmp_path, capsys):
    """Calls the tool with made-up trainings."""
    made_up = MadeUp()
    monkeypatch.setattr(tuning, 'run_jobs', made_up)
    # What takes longest: plots, and configs whose text is beautiful.
    monkeypatch.setattr(tuning.Search, 'draw', lambda *args: None)
    monkeypatch.setattr('yapf.yapflib.yapf_api.FormatCode', lambda text, **settings: (text, True))

    def call(*args, work_dir='runs', config=config):
        made_up.ran.clear()
        with pytest.raises(SystemExit) as end:
            main(['tune', *map(str, [config, *options(data, tmp_path / work_dir, *args)])])
        if end.value.code:
            raise end.value
        return read(tmp_path / work_dir / Path(config).stem)[0]

    call.made_up = made_up
    call.error = lambda *args, **settings: _error(call, capsys, *args, **settings)
    return call


def _error(call, capsys, *args, **settings):
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        call(*args, **settings)
    return f'{stop.value.code} {capsys.readouterr().err}'


@pytest.mark.parametrize('sampler, count', [('random', 4), ('tpe', 11)])
def test_a_search_in_parts_is_the_search_in_one_go(call, sampler, count):
    whole = call('--trials', count, '--sampler', sampler, work_dir='whole')
    assert len(whole) == count and len({row[LAMBDA] for row in whole}) == count
    assert all(0.1 <= float(row[LAMBDA]) <= 100 for row in whole)
    assert call('--trials', 1, '--sampler', sampler) == whole[:1]
    call.made_up.interrupt = 'train student/trial2'
    assert 'Interrupted' in call.error('--trials', count, '--sampler', sampler)
    assert not any('trial0' in label for label in call.made_up.ran)
    call.made_up.interrupt = ''
    assert call('--trials', count, '--sampler', sampler) == whole
    assert call.made_up.ran[:2] == ['train student/trial2, seed 0', 'test student/trial2/seed0/test']
    assert len(call.made_up.ran) == 2 * (count - 2)  # neither the teacher nor the first trials
    assert call('--trials', 1, '--sampler', sampler) == whole and not call.made_up.ran
    assert call('--trials', 1, '--seed', 1, work_dir='other') != whole[:1]


def test_several_trials_run_at_a_time_and_random_ones_are_the_same(call):
    whole = call('--trials', 3)
    assert call('--trials', 3, '--jobs', 2, work_dir='two') == whole


def test_a_trial_that_fails_is_noted_and_stops_no_other(call, tmp_path):
    call.made_up.broken = 'train student/trial1'
    rows = call('--trials', 3)
    assert [row['state'] for row in rows] == ['finished', 'failed', 'finished']
    assert rows[1]['accuracy/top1'] == '' and read(tmp_path / 'runs/student')[1][-1][::2] == ['1', 'failed']
    call.made_up.broken = ''
    assert call('--trials', 3) == rows and not call.made_up.ran


def test_a_metric_that_is_no_number_is_a_failure(call):
    call.made_up.metrics = {'accuracy/top1': math.nan}
    assert 'no trial finished' in call.error('--trials', 2)


def test_a_teacher_that_fails_ends_the_search_and_costs_no_trial(call):
    call.made_up.broken = 'train resnet18-cbam_toy'
    message = 'the teacher, which every trial needs, could not be trained: the disk is full'
    assert message in call.error('--trials', 2)
    call.made_up.broken = ''
    assert [row['state'] for row in call('--trials', 2)] == ['finished', 'finished']


def test_a_metric_that_there_is_not_is_named_and_costs_no_training(call):
    call.made_up.metrics = {'accuracy/top5': 95.0}
    assert 'has no top1; choose --metric from: accuracy/top1, accuracy/top5' in call.error('--metric', 'top1')
    rows = call('--trials', 2, '--metric', 'accuracy/top5')
    assert rows[0]['accuracy/top5'] == '95.0' and not any('trial0' in label for label in call.made_up.ran)
    assert 'are judged by accuracy/top5' in call.error('--metric', 'accuracy/top1')


def test_the_report_is_sorted_and_its_last_line_is_for_a_command_line(call, tmp_path, capsys):
    names = [LAMBDA, 'auto_scale_lr.enable', 'auto_scale_lr.base_batch_size', 'param_scheduler.0.gamma']
    space = ['lambda=log:0.5:50', f'{names[1]}=choice:True,False', f'{names[2]}=int:2:4', f'{names[3]}=float:0.1:0.5']
    call.made_up.broken = 'train student/trial2'
    rows = call('--trials', 6, '--space', *space)
    assert list(rows[0]) == ['number', 'state', *names, 'accuracy/top1']
    text = (tmp_path / 'runs/student/search.md').read_text()
    assert capsys.readouterr().out.endswith(f'\n{text}\nIn {tmp_path}/runs/student/: search.md, .csv and .png.\n')
    order = [cells[0] for cells in read(tmp_path / 'runs/student')[1]]
    finished = [row for row in rows if row['accuracy/top1']]
    assert order == [row['number'] for row in sorted(finished, key=lambda row: -float(row['accuracy/top1']))] + ['2']

    line = text.splitlines()[-1].split()
    parser = argparse.ArgumentParser()
    parser.add_argument('--cfg-options', nargs='+', action=DictAction)
    parsed = parser.parse_args(line).cfg_options
    best = next(row for row in rows if row['number'] == order[0])
    assert {name: str(value) for name, value in parsed.items()} == {name: best[name] for name in names}
    trained = Config.fromfile(tmp_path / f'runs/student/trial{order[0]}/seed0.py')
    assert trained.auto_scale_lr.enable is (best[names[1]] == 'True')
    assert trained.auto_scale_lr.base_batch_size == int(best[names[2]]) in (2, 3, 4)
    teacher = Config.fromfile(tmp_path / 'runs/resnet18-cbam_toy/seed0.py')
    assert teacher.auto_scale_lr.base_batch_size == 16  # the search is for the student


def test_the_plot_has_a_panel_for_every_parameter_and_takes_any_state(tmp_path):
    space = {
        'weight': FloatDistribution(0.1, 100, log=True),
        'maps': CategoricalDistribution(['raw', 'sigmoid', None]),
        'depth': IntDistribution(1, 3),
    }

    def trial(value, **params):
        state = TrialState.FAIL if value is None else TrialState.COMPLETE
        return create_trial(state=state, value=value, params=params, distributions=space)

    trials = [trial(0.7, weight=1.0, maps='raw', depth=1), trial(0.5, weight=30.0, maps=None, depth=3)]
    failed = [trial(None, weight=90.0, maps='sigmoid', depth=2)]
    target = SimpleNamespace(space=space, metric='accuracy', folder=tmp_path)
    for finished, broken in ((trials, failed), (trials, []), ([], failed)):
        tuning.Search.draw(target, finished, broken)
        picture = cv2.imread(str(tmp_path / 'search.png'))
        assert picture.shape[1] > 2 * picture.shape[0]
        b, g, r = picture.astype(int).transpose(2, 0, 1)
        stars = (r - b > 150) & (g > 60)
        thirds = np.array_split(stars, 3, axis=1)
        assert all(third.any() == bool(finished) for third in thirds)


@pytest.mark.parametrize(
    'args, message',
    [
        (['--space', 'lambda=log:0:1'], '--space lambda=log:0:1: expected NAME=log:LOW:HIGH, '),
        (['--space', 'lambda=log:2:1'], 'LOW is less than HIGH'),
        (['--space', 'lambda=5'], '--space lambda=5: expected'),
        (['--space', 'lambda'], '--space lambda: expected'),
        (['--space', 'lambda=int:0.5:3'], '--space lambda=int:0.5:3: expected'),
        (['--space', 'lambda=choice:'], '--space lambda=choice:: expected'),
        (['--space', 'lambda=float:0:inf'], 'LOW is less than HIGH'),
        (['--space', 'model.depht=int:1:3'], '--space model.depht=int:1:3: the config has no setting model.depht'),
        (['--space', 'custom_hooks.9.priority=int:1:3'], 'the config has no setting custom_hooks.9.priority'),
        (['--space', 'lambda=log:1:2', f'{LAMBDA}=log:1:2'], f'--space names {LAMBDA} twice'),
        (['--space', 'train_cfg.max_epochs=int:1:2'], 'both --space and --cfg-options name train_cfg.max_epochs'),
        (['--held-out', '1.5'], 'held_out_split: found fraction=1.5, expected above 0 and below 1'),
        (['--trials', '0'], 'argument --trials: 0 is less than 1'),
        (['--jobs', '0'], 'argument --jobs: 0 is less than 1'),
    ],
)
def test_what_cannot_be_searched_is_told_in_a_sentence(call, tmp_path, args, message):
    assert message in call.error(*args)
    assert not call.made_up.ran and not (tmp_path / 'runs/student').exists()


def test_a_setting_that_nothing_reads_is_refused(config):
    with pytest.raises(SystemExit, match=r'nothing reads the setting train_dataloadr\.batch_size'):
        main(['tune', str(config), '--cfg-options', 'train_dataloadr.batch_size=3'])


def test_a_search_is_of_one_config_with_one_space(call, data, tmp_path):
    assert 'no config at nothing.py' in call.error(config='nothing.py')
    message = 'the config has 0 AttentionSimilarityLoss, so lambda could be none or many; name settings by --space'
    assert message in call.error(config='askd_mmdet::toy/resnet18-cbam_toy.py')
    assert 'is no folder' in call.error('--data', tmp_path / 'nowhere')  # of which the last one counts
    call('--trials', 1)
    for other in (['--space', 'lambda=log:1:10'], ['--held-out', '0.3']):
        assert f'{tmp_path}/runs/student holds a run with other settings' in call.error(*other)
    with (tmp_path / 'runs/.lock').open('w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert 'another experiment runs in' in call.error('--trials', 2)


def held_out(cfg, pairs=0):
    """A config after `hold_out`, with both its parts and its evaluator built."""
    tuning.hold_out(cfg, 0.5, seed=0, pairs=pairs)
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        rest, held_out = (DATASETS.build(loader.dataset) for loader in (cfg.train_dataloader, cfg.test_dataloader))
        metric = METRICS.build(cfg.test_evaluator)
    metric.dataset_meta = held_out.metainfo
    return rest, held_out, metric


def test_detectors_are_judged_by_the_faces_of_pictures_that_are_held_out(toy_data, tmp_path):
    cfg = toy_config('tinaface_r50-bn-cbam_toy-4x_askd', toy_data, tmp_path)
    rest, held_out_part, metric = held_out(cfg)
    assert len(rest) == len(held_out_part) == 4
    assert rest[0]['hr_inputs'].shape == rest[0]['inputs'].shape and 'hr_inputs' not in held_out_part[0]
    for i, missed in enumerate((0, 0, 0, 1)):
        sample = held_out_part[i]['data_samples']
        boxes = torch.tensor([instance['bbox'] for instance in sample.instances])
        found = slice(missed, None)
        perfect = dict(bboxes=boxes[found], scores=torch.ones(len(boxes))[found], labels=torch.zeros(len(boxes))[found])
        perfect['labels'] = perfect['labels'].long()
        metric.process({}, [dict(sample.all_items(), pred_instances=perfect)])
    key = tuning.TASKS['detection'][-1]
    faces = sum(len(held_out_part.get_data_info(i)['instances']) for i in range(4))
    assert metric.evaluate(4)[key] == pytest.approx(1 - 1 / faces, abs=0.01)


def test_recognizers_are_judged_by_pairs_of_identities_that_are_held_out(tmp_path):
    write_records(tmp_path, [(i % 8, jpeg(i)) for i in range(40)])
    cfg = Config.fromfile(ROOT / 'configs/toy/arcface_ir18-cbam_toy-8x_askd.py')
    cfg.train_dataloader.dataset.data_root = f'{tmp_path}/'
    rest, held_out_part, metric = held_out(cfg, pairs=40)
    labels = held_out_part.get_gt_labels()
    assert len(rest) == len(held_out_part) == 20 and not {*labels} & {*rest.get_gt_labels()}
    for i, label in enumerate(labels):
        sample = held_out_part[i]['data_samples']
        embedding = torch.eye(8)[label] + 0.01 * torch.randn(8, generator=torch.Generator().manual_seed(i))
        metric.process({}, [dict(sample.all_items(), embedding=embedding)])
    assert metric.evaluate(20)[tuning.TASKS['recognition'][-1]] == 100


def test_no_run_looks_at_the_real_validation_set():
    for name in ('detection/tinaface_r50-bn-cbam_widerface-16x_askd', 'recognition/arcface_ir50-cbam_casia-24px_askd'):
        cfg = Config.fromfile(ROOT / f'configs/{name}.py')
        space = tuning.read_space(['lambda=log:0.1:100'], cfg)
        assert list(space) == [LAMBDA]
        tuning.hold_out(cfg, 0.2, seed=0, pairs=6000)
        assert cfg.val_dataloader is cfg.val_cfg is cfg.val_evaluator is None
        train, test = cfg.train_dataloader.dataset, cfg.test_dataloader.dataset
        assert {key for key in train.dataset if train.dataset[key] != test.dataset[key]} == {'pipeline'}
        degraded = [{key: value for key, value in part.dataset.pipeline[-1].items()} for part in (train, test)]
        for step in degraded:  # both parts at one resolution, though TinyFace is tested as it is
            step.pop('transforms'), step.pop('keep_hr', None), step.pop('vary', None)
        assert degraded[0] == degraded[1]
        assert np.diff([train.fraction, test.fraction]) == 0 and train.by == test.by
