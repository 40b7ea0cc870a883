"""`askd train`, `askd test` and the launchers as users call them."""

import argparse
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from importlib import import_module

import cv2
import pytest
import torch

from askd_mmdet.commands import COMMANDS
from askd_mmdet.training import read_checkpoint
from tests.toy_run import BASE, COMMAND, HR, ROOT, toy_options


def call(command, *args, **settings):
    environment = dict(os.environ, **settings.pop('environment', {}))
    return subprocess.run(
        [*COMMAND, command, *map(str, args)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )


def succeed(command, *args):
    done = call(command, *args)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout + done.stderr


def options(data, **more):
    """Toy settings for a command line."""
    return ['--cfg-options', *(f'{key}={value}' for key, value in toy_options(data, log_level='INFO', **more).items())]


def parsers(name):
    """A command's parser, or those of its own commands."""
    parser = argparse.ArgumentParser(prog=name)
    import_module(f'askd_mmdet.commands.{name}').add_arguments(parser)
    subparsers = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    return [sub for action in subparsers for sub in action.choices.values()] or [parser]


@pytest.mark.parametrize('command', sorted(COMMANDS))
def test_help_explains_every_argument(command):
    for parser in parsers(command):
        assert len(parser._actions) > 1
        for action in parser._actions:
            assert len(action.help or '') > 8, f'{parser.prog} {action.dest} is not explained'
    status = subprocess.run([*COMMAND, command, '--help'], capture_output=True, text=True)
    assert status.returncode == 0 and command in status.stdout


@pytest.mark.parametrize('script, usage', [('dist_train.sh', 'CONFIG GPUS'), ('slurm_test.sh', 'PARTITION JOB_NAME')])
def test_launchers_say_how_they_are_called(script, usage):
    done = subprocess.run([ROOT / 'tools' / script], capture_output=True, text=True)
    assert done.returncode == 2 and usage in done.stdout


def test_float16_without_a_gpu_is_a_clear_error(toy_data, tmp_path):
    command = ['train', f'askd_mmdet::toy/{HR}.py', '--amp', 'float16', '--work-dir', tmp_path, *options(toy_data)]
    done = call(*command, environment=dict(CUDA_VISIBLE_DEVICES=''))
    assert done.returncode == 1
    assert "amp='float16' needs a GPU" in done.stderr and 'Traceback' not in done.stderr


def test_bfloat16_by_the_option_is_the_setting_of_the_config(toy_data, tmp_path):
    command = ['train', f'askd_mmdet::toy/{HR}.py', '--amp', 'bfloat16', '--work-dir', tmp_path]
    succeed(*command, *options(toy_data, **{'train_cfg.max_epochs': 1}))
    assert "amp = 'bfloat16'" in (tmp_path / f'{HR}.py').read_text()
    weights = read_checkpoint(tmp_path / 'epoch_1.pth')['state_dict'].values()
    assert {weight.dtype for weight in weights} <= {torch.float32, torch.int64}


GROUP = """
import atexit, sys, torch
from askd_mmdet.commands import main
atexit.register(lambda: print('in a process group:', torch.distributed.is_initialized()))
main(sys.argv[1:])
"""


def test_a_distributed_run_leaves_its_process_group(toy_data, tmp_path):
    """Else Gloo's threads abort the process at its end, now and then, though all is done and written. What others have
    registered for the end is called.
    """
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        environment = dict(RANK='0', WORLD_SIZE='1', MASTER_ADDR='127.0.0.1', MASTER_PORT=str(free.getsockname()[1]))
    environment = dict(os.environ, **environment, CUDA_VISIBLE_DEVICES='', PYTHONPATH=str(ROOT))
    config = f'askd_mmdet::toy/{HR}.py'
    run = ['--work-dir', str(tmp_path), '--launcher', 'pytorch', *options(toy_data, **{'train_cfg.max_epochs': 1})]
    for command in (['train', config], ['test', config, str(tmp_path / 'epoch_1.pth')]):
        start = [sys.executable, '-c', GROUP, *command, *run]
        done = subprocess.run(start, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr[-3000:]
        assert 'MMDistributedDataParallel' in done.stdout + done.stderr, 'this was no distributed run'
        assert 'in a process group: False' in done.stdout


def test_a_missing_config_is_named():
    done = call('train', 'configs/nowhere.py')
    assert done.returncode != 0 and 'no config at configs/nowhere.py' in done.stderr


def test_train_is_killed_resumes_and_is_evaluated(toy_data, tmp_path):
    """Train with a kill in between, evaluate, and score the submission with the other tool: one number throughout."""
    command = ['train', f'askd_mmdet::toy/{BASE}.py', '--work-dir', tmp_path, *options(toy_data)]
    process = subprocess.Popen(
        [*COMMAND, *map(str, command)],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.time() + 120
    while not (tmp_path / 'epoch_1.pth').exists() and time.time() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert (tmp_path / 'epoch_1.pth').exists()
    killed_early = not (tmp_path / 'epoch_2.pth').exists()

    log = succeed(*command[:2], '--resume', *command[2:])
    assert not killed_early or 'resumed epoch: 1, iter: 4' in log
    assert read_checkpoint(tmp_path / 'epoch_2.pth')['meta']['iter'] == 8

    test = ['test', f'askd_mmdet::toy/{BASE}.py', tmp_path / 'epoch_2.pth', '--work-dir', tmp_path / 'test']
    extras = [
        '--out',
        tmp_path / 'metrics.json',
        '--submission-dir',
        tmp_path / 'submission',
        '--show-dir',
        tmp_path / 'pictures',
        '--score',
        0.01,
    ]
    succeed(*test, *extras, *options(toy_data, **{'model.test_cfg.score_thr': 0.001}))
    metrics = json.loads((tmp_path / 'metrics.json').read_text())
    succeed(
        'score',
        tmp_path / 'submission',
        '--gt',
        toy_data / 'eval_tools/ground_truth',
        '--json',
        tmp_path / 'ap.json',
    )
    ap = json.loads((tmp_path / 'ap.json').read_text())
    for subset in ('easy', 'medium', 'hard'):
        found = re.search(rf'"{subset}": ([0-9.e-]+)', json.dumps(ap))
        assert float(found[1]) == pytest.approx(metrics[f'wider_face/{subset}'], abs=1e-6)
    pictures = list((tmp_path / 'pictures').glob('*.jpg'))
    assert len(pictures) == 4 and cv2.imread(str(pictures[0])) is not None


def test_pictures_of_detections_are_refused_for_a_recognizer(tmp_path):
    done = call('test', 'askd_mmdet::toy/arcface_ir18-cbam_toy.py', 'any.pth', '--show-dir', tmp_path)
    assert done.returncode == 1 and done.stderr.strip().endswith('--cfg-options test_evaluator.out_dir=FOLDER')


def test_a_checkpoint_of_another_network_is_refused(toy_data, tmp_path):
    import torch

    torch.save(dict(state_dict={}), tmp_path / 'empty.pth')
    done = call('test', f'askd_mmdet::toy/{HR}.py', tmp_path / 'empty.pth', '--work-dir', tmp_path, *options(toy_data))
    assert done.returncode != 0
    assert 'empty.pth does not fit SingleStageDetector, nothing was loaded' in done.stderr


def test_the_real_configuration_on_real_pictures(real_wider_face, tmp_path):
    """R50 A-SKD: a few steps on real WIDER FACE pictures, then an evaluation of a handful."""
    sample = real_wider_face / 'sample'
    name = 'tinaface_r50-bn-cbam_widerface'
    common = dict(data_root=f'{sample}/', ann_file='wider_face_val_bbx_gt.txt', data_prefix=dict(img_path='images/'))
    for suffix in ('', '-16x_askd'):
        config = tmp_path / f'real{suffix}.py'
        config.write_text(
            f"""
_base_ = {str(ROOT / f'configs/detection/{name}{suffix}.py')!r}
train_dataloader = dict(num_workers=0, batch_size=1, dataset=dict(indices=2, **{common!r}))
val_dataloader = dict(num_workers=0, dataset=dict(indices=3, **{common!r}))
test_dataloader = val_dataloader
val_evaluator = dict(ground_truth={str(sample / 'ground_truth')!r})
test_evaluator = [_base_.test_evaluator, dict(type='CocoMetric', metric='bbox')]
_base_.test_evaluator.ground_truth = val_evaluator['ground_truth']
train_cfg = dict(max_epochs=1, val_begin=2)
model = dict(backbone=dict(init_cfg=None), test_cfg=dict(nms_pre=300, max_per_img=300))
_base_.train_dataloader.dataset.pipeline[-1].transforms[3].scale = (320, 320)
_base_.test_dataloader.dataset.pipeline[-1].transforms[0].scale = (416, 416)
work_dir = {str(tmp_path / f'work{suffix}')!r}
"""
            + (
                f"""
_base_.custom_hooks[-1].update(teacher={str(tmp_path / 'real.py')!r}, checkpoint={str(tmp_path / 'work/epoch_1.pth')!r})
"""
                if suffix
                else ''
            )
        )
        log = succeed('train', config)
    assert 'loss_attention' in log
    log = succeed('test', config, tmp_path / 'work-16x_askd/epoch_1.pth')
    assert 'wider_face/hard' in log and 'coco/bbox_mAP' in log
