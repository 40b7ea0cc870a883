"""Configs are found from anywhere, say where their data are once, and take no setting that nothing reads."""

import copy
import subprocess

import pytest
from mmengine.config import Config
from mmengine.registry import RUNNERS

from askd_mmdet.training import build_model
from askd_mmdet.training.config import check_read, find_config, load_config, override, parse_overrides
from tests.toy_run import COMMAND, ROOT, types

HR = 'askd_mmdet::toy/resnet18-cbam_toy.py'


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def values(value):
    """All strings and numbers in a config."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from values(item)
    else:
        yield value


def test_a_shipped_config_is_found_from_any_folder(folder):
    assert find_config(HR).samefile(ROOT / 'configs/toy/resnet18-cbam_toy.py')
    with pytest.raises(
        FileNotFoundError, match=r'ships no config toy/resnet18_toy\.py; similar: toy/resnet18-cbam_toy'
    ):
        find_config('askd_mmdet::toy/resnet18_toy.py')


def test_a_path_is_relative_to_the_config_that_names_it_to_its_bases_and_to_the_working_directory(folder):
    for name in ('mine/student.py', 'base/hr.py', 'here.py'):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("_base_ = '../base/hr.py'" if 'student' in name else 'model = None')
    for name, expected in (('student.py', 'mine/student.py'), ('hr.py', 'base/hr.py'), ('here.py', 'here.py')):
        assert find_config(name, beside='mine/student.py').samefile(folder / expected)
    with pytest.raises(FileNotFoundError, match=r'no config at gone\.py \(named in mine/student\.py\)'):
        find_config('gone.py', beside='mine/student.py')


def test_what_a_config_inherits_from_a_shipped_one_is_the_shipped_one(folder):
    (folder / 'mine.py').write_text(f"_base_ = '{HR}'\ncustom_hooks = [*_base_.custom_hooks]\n")
    inherited, shipped = load_config('mine.py'), load_config(HR)
    assert inherited.to_dict() == shipped.to_dict() and '_scope_' not in inherited.pretty_text
    raw = Config.fromfile('mine.py')
    assert raw.model['_scope_'] == 'askd_mmdet'  # which MMEngine's runner would look for in vain
    runner = RUNNERS.build(Config(dict(raw.to_dict(), work_dir=str(folder / 'work'))))
    assert type(runner).__name__ == 'SafeRunner' and list(types(runner.cfg.model)) == list(types(shipped.model))


def test_the_folder_of_the_data_is_said_once(folder):
    (folder / 'mine.py').write_text(
        "_base_ = 'askd_mmdet::detection/tinaface_r50-bn-cbam_widerface-16x.py'\ndata = '/mnt/sets'\n"
    )
    cfg = load_config('mine.py')
    assert cfg.val_evaluator.ground_truth == '/mnt/sets/wider_face/eval_tools/ground_truth'
    assert {cfg[f'{part}_dataloader'].dataset.data_root for part in ('train', 'val', 'test')} == {
        '/mnt/sets/wider_face/'
    }
    assert not [text for text in values(cfg.to_dict()) if str(text).startswith('data/')] and 'data' not in cfg


@pytest.mark.parametrize(
    'option, message',
    [
        ('train_dataloadr.batch_size=3', r'train_dataloadr\.batch_size; similar: train_dataloader\.batch_size'),
        ('data_root=/mnt', r'data_root; similar: .*train_dataloader\.dataset\.data_root.*; or --data ROOT'),
        ('train_pipeline=x', r'nothing reads the setting train_pipeline'),
        ('optimizer.lr=0.1', r'optimizer\.lr; similar: optim_wrapper\.optimizer\.lr'),
        ('auto_scale_lr.enabled=True', r'auto_scale_lr\.enabled; auto_scale_lr has enable, base_batch_size'),
        ('custom_hooks.9.priority=LOW', r'the config cannot take custom_hooks\.9\.priority'),
    ],
)
def test_a_setting_that_nothing_reads_is_refused_with_one_that_works(option, message):
    cfg = load_config(HR)
    with pytest.raises(ValueError, match=message):
        override(cfg, parse_overrides([option]))


def test_settings_that_are_read_are_changed_or_added():
    cfg = load_config(HR)
    override(
        cfg,
        parse_overrides(['train_dataloader.batch_size=3', 'optim_wrapper.clip_grad.max_norm=1', 'model.head.topk=[1]']),
    )
    assert (cfg.train_dataloader.batch_size, cfg.optim_wrapper.clip_grad.max_norm, cfg.model.head.topk) == (3, 1, [1])
    with pytest.raises(ValueError, match="found 'work_dir', expected NAME=VALUE"):
        parse_overrides(['work_dir'])


def askd(*args, cwd):
    environment = {'PATH': '/usr/bin:/bin', 'PYTHONPATH': str(ROOT), 'HOME': str(cwd)}
    return subprocess.run([*COMMAND, *map(str, args)], cwd=cwd, env=environment, capture_output=True, text=True)


STUDENT = 'askd_mmdet::toy/arcface_ir18-cbam_toy-8x_askd.py'


def test_the_teacher_is_named_on_the_command_line_and_missed_with_the_command_that_trains_it(toy_faces, folder):
    (folder / 'data').mkdir()
    (folder / 'data/toy_faces').symlink_to(toy_faces)
    small = ['--cfg-options', 'train_dataloader.num_workers=0', 'train_dataloader.batch_size=4']
    missing = askd('train', STUDENT, *small, cwd=folder)
    assert missing.returncode == 1 and 'Traceback' not in missing.stderr
    message = (
        'the teacher has no weights at work_dirs/arcface_ir18-cbam_toy/epoch_8.pth: train it first, by "askd train '
    )
    assert f'{message}askd_mmdet::toy/arcface_ir18-cbam_toy.py"' in missing.stderr

    (folder / 'teacher.pth').write_bytes(b'no checkpoint')
    broken = askd('train', STUDENT, '--teacher', 'teacher.pth', *small, cwd=folder)
    assert broken.returncode == 1 and "the teacher's weights do not serve: teacher.pth" in broken.stderr

    no_student = askd('train', HR, '--teacher', 'teacher.pth', cwd=folder)
    assert no_student.returncode == 1 and 'has no DistillationHook' in no_student.stderr

    other = askd('train', STUDENT, '--teacher-config', 'nowhere.py', *small, cwd=folder)
    assert other.returncode == 1 and 'no config at nowhere.py' in other.stderr


def test_the_number_after_the_last_one_adds_to_a_list():
    """Where MMEngine only changes what is there; a gap stays an error."""
    cfg = load_config(HR)
    override(cfg, parse_overrides(['visualizer.vis_backends.1.type=A', 'visualizer.vis_backends.1.uri=b']))
    assert cfg.visualizer.vis_backends == [dict(type='LocalVisBackend'), dict(type='A', uri='b')]
    with pytest.raises(ValueError, match='Index 3'):
        override(cfg, {'visualizer.vis_backends.3.type': 'C'})


@pytest.mark.parametrize('name', ['amp', 'channels_last'])
def test_what_only_our_runner_reads_is_refused_where_another_runs(name):
    check_read(Config(dict(runner_type='SafeRunner')), {name: True})
    with pytest.raises(ValueError, match=f"{name} is read by our Runner alone: set runner_type='SafeRunner'"):
        check_read(Config(dict(default_scope='mmdet')), {name: True})


@pytest.mark.parametrize('name', ['tinaface_r50-bn-cbam_toy-4x', 'arcface_ir18-cbam_toy', 'resnet18-cbam_toy'])
def test_a_config_is_the_same_after_its_network_was_built(name):
    cfg = load_config(f'askd_mmdet::toy/{name}.py')
    before = copy.deepcopy(cfg.to_dict())
    build_model(cfg)
    assert cfg.to_dict() == before
