"""Watching a training by MMEngine's backends, and looking at its data by MMDetection's and MMPretrain's own tools."""

import json
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import cv2
import mmdet
import mmpretrain
import pytest
import torch

from askd_mmdet.toy.pictures import make_picture_classes
from askd_mmdet.training import build_model
from askd_mmdet.training.config import load_config
from tests.toy_run import ASKD, COMMAND, HR, ROOT

PAGE = (ROOT / 'docs/analysis.md').read_text()
BACKENDS = re.findall(r'^\| `(\w+VisBackend)` \| `pip install (\w+)` \|', PAGE, re.MULTILINE)
# A run of each task by its config, the teacher's, and what its log has beside the loss.
RUNS = {
    'detection': (ASKD, HR, ['loss_attention', 'loss_iou', 'wider_face/hard']),
    'recognition': (
        'arcface_ir18-cbam_toy-8x_askd',
        'arcface_ir18-cbam_toy',
        ['loss_attention', 'loss_arcface', 'verification/accuracy'],
    ),
    'classification': ('resnet18-cbam_toy', None, ['accuracy/top1']),
}


@pytest.fixture(scope='module')
def data(toy_data, toy_faces, tmp_path_factory):
    """The toy sets of all tasks in one folder."""
    folder = tmp_path_factory.mktemp('data')
    make_picture_classes(folder / 'toy_pictures', train_pictures=2, val_pictures=1)
    (folder / 'toy_wider_face').symlink_to(toy_data)
    (folder / 'toy_faces').symlink_to(toy_faces)
    return folder


def train(task, backend, data, folder):
    """An epoch by the line of the page, as somebody runs it from a folder of their own."""
    name, teacher, _ = RUNS[task]
    setting = re.search(r'--cfg-options (visualizer\.\S+)', PAGE)[1].replace('TensorboardVisBackend', backend)
    options = ['train_cfg.max_epochs=1', 'train_cfg.val_begin=1', 'train_cfg.val_interval=1']
    options += ['train_dataloader.batch_size=4', 'train_dataloader.num_workers=0', 'val_dataloader.num_workers=0']
    command = [*COMMAND, 'train', f'askd_mmdet::toy/{name}.py', '--data', data, '--work-dir', 'run']
    command += ['--cfg-options', setting, *options]
    if teacher:
        torch.save(build_model(load_config(f'askd_mmdet::toy/{teacher}.py')).state_dict(), folder / 'teacher.pth')
        command += ['--teacher', 'teacher.pth']
    return run(command, folder)


def run(command, folder):
    """A command in some folder, with this checkout's package whatever else is installed."""
    path = os.pathsep.join([str(ROOT), os.environ.get('PYTHONPATH', '')])
    environment = dict(os.environ, PYTHONPATH=path)
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)


@pytest.mark.skipif(not find_spec('tensorboard'), reason='tensorboard is not installed, which no other test needs')
@pytest.mark.parametrize('task', RUNS)
def test_the_line_of_the_page_sends_losses_and_metrics_to_tensorboard_and_keeps_the_log(task, data, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    done = train(task, 'TensorboardVisBackend', data, tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    (log,) = (tmp_path / 'run').glob('*/vis_data/scalars.json')
    events = EventAccumulator(str(log.parent))
    events.Reload()
    logged = [json.loads(line) for line in log.read_text().splitlines()]
    for name in ['loss', *RUNS[task][2]]:
        values = [entry[name] for entry in logged if name in entry]
        assert [event.value for event in events.Scalars(name)] == pytest.approx(values) and values, name


@pytest.mark.parametrize('backend, package', BACKENDS)
def test_a_backend_that_is_not_installed_is_one_sentence_with_its_name_for_pip(backend, package, data, tmp_path):
    if find_spec(package):
        pytest.skip(f'{package} is installed')
    done = train('classification', backend, data, tmp_path)
    last = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 1 and 'Traceback' not in done.stderr
    assert re.match(rf'askd train: error: .*pip install \w* ?{package}\b', last), last


def test_mmdetections_tool_shows_the_lr_pictures_of_a_student_with_their_boxes(data, tmp_path):
    tool = Path(mmdet.__file__).parent / '.mim/tools/analysis_tools/browse_dataset.py'
    command = [tool, ROOT / f'configs/toy/{ASKD}.py', '--not-show', '--output-dir', 'shown']
    options = [f'train_dataloader.dataset.data_root={data}/toy_wider_face/']
    done = run([sys.executable, *command, '--cfg-options', *options], tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    pictures = [cv2.imread(str(path)) for path in (tmp_path / 'shown').iterdir()]
    assert len(pictures) == 8 and {picture.shape for picture in pictures} == {(128, 128, 3)}
    # Toy pictures are grey, so colour is what the tool has drawn.
    assert all((picture.max(-1).astype(int) - picture.min(-1) > 60).any() for picture in pictures)


def test_mmpretrains_tool_shows_pictures_with_their_classes(data, tmp_path):
    """In the mode that does without what matplotlib 3.11 has taken from it."""
    tool = Path(mmpretrain.__file__).parent / '.mim/tools/visualization/browse_dataset.py'
    command = [tool, ROOT / 'configs/toy/resnet18-cbam_toy.py', '--not-show', '--output-dir', 'shown', '-m', 'original']
    options = [f'train_dataloader.dataset.data_root={data}/toy_pictures/']
    done = run([sys.executable, *command, '-n', '3', '--cfg-options', *options], tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    assert len(list((tmp_path / 'shown').iterdir())) == 3
