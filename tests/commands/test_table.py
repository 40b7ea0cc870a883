"""`askd table` and `askd demo` as users call them: killed, resumed, with a run that fails, on every kind of toy."""

import fcntl
import json
import re
import signal
import subprocess
import time
from pathlib import Path

import cv2
import pytest

from askd_mmdet.toy import make_picture_classes
from tests.toy_run import COMMAND, toy_options

SMALL = ['train_cfg.max_epochs=2', *(f'{split}_dataloader.num_workers=0' for split in ('train', 'val', 'test'))]


def command(*args, name='table'):
    return [*COMMAND, name, *map(str, args)]


def call(*args, name='table'):
    return subprocess.run(command(*args, name=name), capture_output=True, text=True, timeout=400)


def rows(text):
    return [[cell.strip() for cell in line.strip('|').split('|')] for line in text.splitlines() if line[:2] == '| ']


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    """Toy pictures, few enough for a training of seconds."""
    folder = tmp_path_factory.mktemp('data')
    make_picture_classes(folder / 'toy_pictures', train_pictures=4, val_pictures=2)
    return folder


def test_a_killed_experiment_goes_on_and_a_broken_run_stops_no_other(data, tmp_path):
    args = ['toy4', '--data', data, '--work-dir', tmp_path, '--methods', 'Base', 'A-SKD+KD', '--cfg-options', *SMALL]
    runs = tmp_path / 'resnet18-cbam_toy'
    process = subprocess.Popen(command(*args), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.time() + 200
    while not (runs / 'resnet18-cbam_imagenet/seed0/epoch_1.pth').exists() and time.time() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    killed_late = (runs / 'resnet18-cbam_imagenet/seed0/epoch_2.pth').exists()

    # A checkpoint that cannot be resumed from, as a broken disk leaves it: its run fails, and no other does.
    base, student = (runs / f'resnet18-cbam_imagenet-4x{ending}/seed0' for ending in ('', '_askd-kd'))
    student.mkdir(parents=True, exist_ok=True)
    (student / 'epoch_1.pth').write_bytes(b'broken')
    second = call(*args)
    log = (runs / 'resnet18-cbam_imagenet/seed0/train.log').read_text()
    assert killed_late or 'resumed epoch: 1' in log
    assert (base / 'epoch_2.pth').is_file()
    assert second.returncode == 1
    assert '2 runs failed; the same command tries them again' in second.stderr
    assert 'epoch_1.pth is not a checkpoint that can be read safely' in second.stderr
    assert 'Traceback' not in second.stderr
    found = rows((tmp_path / 'toy4.md').read_text())
    assert [row[:2] for row in found] == [
        ['Resolution', 'Method'],
        *(['1x', 'Base'], ['4x', 'Base'], ['4x', 'A-SKD+KD']),
    ]
    assert found[1][2] and found[2][2] and not found[3][2]

    (student / 'epoch_1.pth').unlink()
    third = call(*args)
    assert third.returncode == 0 and third.stdout.count('done:') == 2, third.stderr
    found = rows(third.stdout)
    metrics = json.loads((student / 'test/metrics.json').read_text())
    assert found[3][2] == f'{metrics["accuracy/top1"]:.2f}'
    assert float(found[3][3]) == pytest.approx(float(found[3][2]) - float(found[2][2]), abs=0.011)

    fourth = call(*args)
    assert fourth.stdout.count('done:') == fourth.stdout.count('start:') == 0 and rows(fourth.stdout) == found

    missing = call(*args, 'custom_hooks.9.priority=LOW')
    assert missing.returncode == 1 and 'error: ' in missing.stderr and 'Traceback' not in missing.stderr

    other = call(*args, 'optim_wrapper.optimizer.lr=0.5')
    assert other.returncode == 1 and 'holds a run with other settings' in other.stderr
    assert 'Traceback' not in other.stderr


def test_a_dry_run_prints_the_plan_and_writes_nothing(tmp_path):
    args = ['toy4', '--data', tmp_path / 'data', '--work-dir', tmp_path / 'work', '--methods', 'KD', '--dry-run']
    done = call(*args)
    assert done.returncode == 0 and not list(tmp_path.iterdir()), done.stderr
    lines = re.findall(r'^train (\S+), seed 0: (\d+) epochs$', done.stdout, re.MULTILINE)
    assert lines == [(f'resnet18-cbam_toy/resnet18-cbam_imagenet{ending}', '12') for ending in ('', '-4x_kd')]


def test_a_dry_run_estimates_how_long_it_would_take(data, tmp_path):
    work_dir = tmp_path / 'work'
    args = ['toy4', '--data', data, '--work-dir', work_dir, '--methods', 'KD', '--seeds', 0, 1, '--dry-run']
    done = call(*args, '--estimate', '--cfg-options', *SMALL)
    assert done.returncode == 0 and not work_dir.exists(), done.stderr
    lines = re.findall(r'^train (\S+), seed (\d): 2 epochs, about 0:\d\d:\d\d$', done.stdout, re.MULTILINE)
    assert lines == [
        (f'resnet18-cbam_toy/resnet18-cbam_imagenet{ending}', seed) for seed in '01' for ending in ('', '-4x_kd')
    ]
    assert done.stdout.count('test  ') == 2 and 'Trainings take about 0:0' in done.stdout


def test_what_cannot_be_run_is_told_in_a_sentence(tmp_path):
    for args, message in (
        (['table9'], 'no table at'),
        (['table4', '--methods', 'SRGAN'], 'table4 has no method SRGAN; it has: Base'),
        (['table4', '--jobs', '0'], 'argument --jobs: 0 is less than 1'),
    ):
        done = call(*args, '--work-dir', tmp_path)
        assert done.returncode in (1, 2) and message in done.stderr and 'Traceback' not in done.stderr
    with (tmp_path / '.lock').open('w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = call('table4', '--methods', 'Base', '--work-dir', tmp_path)
    assert done.returncode == 1 and 'another experiment runs in' in done.stderr


def test_the_recognition_demo_verifies_and_identifies(toy_faces, tmp_path):
    data = tmp_path / 'data'
    data.mkdir()
    (data / 'toy_faces').symlink_to(toy_faces)
    small = [*SMALL, 'train_cfg.max_epochs=1', 'model.backbone.base_channels=4', 'train_dataloader.batch_size=6']
    args = ['demo-recognition', '--data', data, '--work-dir', tmp_path / 'work', '--methods', 'Base']
    done = call(*args, '--cfg-options', *small)
    assert done.returncode == 0, done.stderr
    head, row = rows(done.stdout)
    assert head[2::2] == ['Ver-ACC (%)', 'AUC (%)', 'rank 1 (%)', 'rank 5 (%)']
    assert row[:2] == ['8x', 'Base'] and all(0 <= float(cell) <= 100 for cell in row[2::2])


def test_the_demo_ends_with_the_table_the_report_and_what_to_try_next(toy_data, tmp_path):
    options = toy_options(toy_data, **{'train_cfg.max_epochs': 1})
    data = tmp_path / 'data'
    data.mkdir()
    (data / 'toy_wider_face').symlink_to(toy_data)
    args = ['--data', data, '--work-dir', tmp_path / 'work', '--jobs', 2]
    done = call(*args, '--cfg-options', *(f'{key}={value}' for key, value in options.items()), name='demo')
    assert done.returncode == 0, done.stderr
    models = [['1x', 'HR teacher'], ['4x', 'HR teacher'], ['4x', 'Base'], ['4x', 'A-SKD']]
    assert [row[:2] for row in rows(done.stdout)[1:]] == models
    end = done.stdout.rpartition('\n| 4x | A-SKD')[2]
    page, picture = (tmp_path / f'work/demo.{ending}' for ending in ('html', 'jpg'))
    assert f'{page} (open it in a browser)' in end and str(picture) in end and 'What to try next:' in end
    assert 'left out' not in end
    assert page.stat().st_size < 3e6 and 'A-SKD 4x is' in page.read_text()
    sheet = cv2.imread(str(picture))
    assert sheet.shape[1] >= 4 * 480 and sheet.shape[0] > 400
    # What it says to try is there.
    command = next(line for line in end.splitlines() if ' detect ' in line).split()
    assert all(Path(argument).is_file() for argument in command[:4] if argument != 'detect')
