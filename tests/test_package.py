"""The wheel, used as somebody uses it who has no checkout; and what is said where other packages do not fit."""

import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path
from statistics import median

import pytest
from mmengine.fileio import load
from modelindex.load_model_index import load as load_index

from askd_mmdet.commands import COMMANDS

EXPERIMENTS = ('detection', 'recognition', 'classification', 'small', 'examples', 'toy')


@pytest.fixture(scope='module')
def site(root, tmp_path_factory):
    """A folder with the built wheel, installed."""
    folder = tmp_path_factory.mktemp('package')
    source, wheels, site = folder / 'source', folder / 'wheels', folder / 'site'
    source.mkdir()  # a copy, so that nothing built before gets into the wheel
    for name in ('pyproject.toml', 'README.md', 'LICENSE', 'model-index.yml'):
        shutil.copy(root / name, source)
    for name in ('askd_mmdet', 'configs'):
        shutil.copytree(root / name, source / name, symlinks=True, ignore=shutil.ignore_patterns('__pycache__'))
    pip = [sys.executable, '-m', 'pip', '--disable-pip-version-check']
    subprocess.run([*pip, 'wheel', '-q', '--no-deps', '--no-build-isolation', '-w', wheels, source], check=True)
    (wheel,) = wheels.iterdir()
    subprocess.run([*pip, 'install', '-q', '--no-deps', '--no-index', '--target', site, wheel], check=True)
    return site


def run(command, folder, *path):
    """A command in a folder, with `path` before all that is installed."""
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(map(str, path)), CUDA_VISIBLE_DEVICES='')
    return subprocess.run(
        list(map(str, command)), cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )


def python(code, folder, *path):
    return run([sys.executable, '-c', code], folder, *path)


def test_three_lines_train_in_an_empty_folder(site, tmp_path):
    (tmp_path / 'mine.py').write_text(
        "_base_ = 'askd_mmdet::toy/resnet18-cbam_toy.py'\n"
        'train_cfg = dict(max_epochs=1)\n'
        'train_dataloader = dict(num_workers=0)\n'
    )
    code = 'import askd_mmdet.toy as toy; toy.make_picture_classes({!r}, {}); print(toy.__file__)'
    made = python(code.format('data/toy_pictures', 'train_pictures=2, val_pictures=1'), tmp_path, site)
    assert made.stdout.strip() == str(site / 'askd_mmdet/toy/__init__.py'), made.stderr
    done = run([site / 'bin/askd', 'train', 'mine.py'], tmp_path, site)
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / 'work_dirs/mine/epoch_1.pth').is_file()
    screen = (done.stdout + done.stderr).splitlines()
    before_steps = next(i for i, line in enumerate(screen) if 'Epoch(' in line)
    assert 5 <= before_steps <= 10 and not [line for line in screen if 'OneDL' in line or 'deprecated' in line]


def test_mmengine_finds_the_configs_of_the_wheel(site, tmp_path):
    name = 'detection/tinaface_r50-bn-cbam_widerface-16x_askd.py'
    (tmp_path / 'mine.py').write_text(f"_base_ = 'askd_mmdet::{name}'\n")
    found = python(
        'import askd_mmdet.core\n'
        'from mmengine.config import Config\n'
        'from mmengine.hub import get_config\n'
        f"print(get_config('askd_mmdet::{name}').filename)\n"
        "print(Config.fromfile('mine.py').model.type)",
        tmp_path,
        site,
    )
    assert found.stdout.split() == [str(site / 'askd_mmdet/.mim/configs' / name), 'SingleStageDetector'], found.stderr


def test_every_experiment_has_an_entry_in_the_index_and_every_entry_an_experiment(root):
    files = {path.relative_to(root).as_posix() for name in EXPERIMENTS for path in root.glob(f'configs/{name}/*.py')}
    models = [
        model
        for metafile in load(root / 'model-index.yml')['Import']
        for model in load(root / metafile)['Models']
        if model['In Collection'] in {each['Name'] for each in load(root / metafile)['Collections']}
    ]
    assert sorted(model['Config'] for model in models) == sorted(files)
    for model in models:
        assert model['Name'] == Path(model['Config']).stem and model['Metadata']['Training Data']
    # mim reads with this library what lies in the package.
    index = load_index(str(root / 'askd_mmdet/.mim/model-index.yml'))
    assert sorted(model.config for model in index.models) == sorted(files)


def seconds(command, folder, site):
    """The processor time that a command takes."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert run(command, folder, site).returncode == 0
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_help_costs_little_more_than_python(site, tmp_path):
    pairs = [
        [seconds(command, tmp_path, site) for command in ([site / 'bin/askd', '--help'], [sys.executable, '-c', '0'])]
        for _ in range(9)
    ]
    ours, bare = map(median, zip(*pairs))
    assert ours <= 3 * bare


@pytest.mark.parametrize('command', sorted(COMMANDS))
def test_help_of_a_command_imports_nothing_heavy(root, tmp_path, command):
    done = run([sys.executable, '-X', 'importtime', '-m', 'askd_mmdet', command, '--help'], tmp_path, root)
    imported = {line.rpartition('|')[2].strip().partition('.')[0] for line in done.stderr.splitlines()}
    assert done.returncode == 0 and {'askd_mmdet', 'argparse'} <= imported
    assert not imported & {'torch', 'mmengine', 'mmcv', 'mmdet', 'mmpretrain', 'numpy', 'cv2', 'scipy', 'skimage'}


def made_up(folder, name, version='1.2.3'):
    """What pip leaves of a distribution that it has installed."""
    info = folder / f'{name.replace("-", "_")}-{version}.dist-info'
    info.mkdir()
    (info / 'METADATA').write_text(f'Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n')


@pytest.mark.parametrize(
    'room, upstream, onedl',
    [
        ('core', 'mmengine', 'onedl-mmengine'),
        ('core', 'mmcv-lite', 'onedl-mmcv'),
        ('detection', 'mmdet', 'onedl-mmdetection'),
        ('recognition', 'mmpretrain', 'onedl-mmpretrain'),
        ('classification', 'mmpretrain', 'onedl-mmpretrain'),
    ],
)
def test_two_distributions_of_one_library_are_refused(root, tmp_path, room, upstream, onedl):
    made_up(tmp_path, upstream)
    said = python(f'import askd_mmdet.{room}', tmp_path, root, tmp_path).stderr.splitlines()[-1]
    assert said.startswith('RuntimeError: ') and 'are installed over each other' in said
    assert f'{upstream} 1.2.3 and {onedl} ' in said and f'pip uninstall -y {upstream} {onedl}' in said


def test_a_command_says_it_in_one_sentence(root, tmp_path):
    made_up(tmp_path, 'mmpretrain')
    command = [sys.executable, '-m', 'askd_mmdet', 'train', 'askd_mmdet::toy/resnet18-cbam_toy.py']
    done = run(command, tmp_path, root, tmp_path)
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith('askd train: error: mmpretrain 1.2.3 and onedl-mmpretrain ')


@pytest.mark.parametrize(
    'error, message',
    [
        ("ModuleNotFoundError('none', name='mmdet')", 'mmdet is not installed: pip install onedl-mmdetection'),
        ("ModuleNotFoundError('none', name='mmcv._ext')", 'MMCV_WITH_OPS=1 pip install'),
        ("ImportError('undefined symbol: c10', name='mmcv._ext')", 'cannot be imported (undefined symbol: c10)'),
        ("ModuleNotFoundError('none of theirs', name='pycocotools')", 'ModuleNotFoundError: none of theirs'),
    ],
)
def test_a_library_that_cannot_be_imported_says_what_to_do(root, tmp_path, error, message):
    (tmp_path / 'mmdet').mkdir()
    for name, code in (('__init__', ''), ('datasets', ''), ('models', f'raise {error}')):
        (tmp_path / f'mmdet/{name}.py').write_text(code)
    done = python("from askd_mmdet.openmmlab import load; load('mmdet')", tmp_path, tmp_path, root)
    assert message in done.stderr.splitlines()[-1]


def test_of_what_a_library_prints_the_notice_alone_is_dropped(root, tmp_path):
    (tmp_path / 'mmdet').mkdir()
    for name in ('__init__', 'models'):
        (tmp_path / f'mmdet/{name}.py').touch()
    lines = ['Something else', 'Could not import OneDL. Skipping OneDL datasets.']
    (tmp_path / 'mmdet/datasets.py').write_text(f'for line in {lines}:\n    print(line)')
    done = python("from askd_mmdet.openmmlab import load; load('mmdet')", tmp_path, tmp_path, root)
    assert done.stdout == 'Something else\n'


def test_the_rooms_print_nothing_on_import(root, tmp_path):
    code = 'import askd_mmdet.classification, askd_mmdet.detection, askd_mmdet.recognition'
    done = python(code, tmp_path, root)
    assert done.returncode == 0 and done.stdout == ''


def test_no_notice_either_for_a_config_that_imports_the_core_alone(root, tmp_path):
    (tmp_path / 'mine.py').write_text(
        "_base_ = 'mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py'\n"
        "custom_imports = dict(imports=['askd_mmdet.core'])\n"
        'model = dict(backbone=dict(init_cfg=None))\n'
    )
    done = run([sys.executable, '-m', 'askd_mmdet', 'train', 'mine.py'], tmp_path, root)
    assert done.returncode == 1 and 'data/coco' in done.stderr
    assert 'OneDL' not in done.stdout + done.stderr
