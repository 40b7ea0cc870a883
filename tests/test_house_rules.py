"""Who may import whom."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / 'askd_mmdet'
CORE = {'attention', 'degradation', 'distillation', 'training'}
TASKS = {'detection': 'mmdet', 'recognition': 'mmpretrain', 'classification': 'mmpretrain'}
# What a room may import beside the standard library, and which rooms it may know.
CORE_LIBRARIES = {'torch', 'numpy', 'cv2', 'PIL', 'torchvision', 'mmengine', 'mmcv'}
TOY_LIBRARIES = {'numpy', 'cv2', 'scipy', 'rich', 'skimage'}
EXPORT_LIBRARIES = {'torch', 'torchvision', 'numpy', 'cv2', 'PIL', 'skimage', 'mmcv', 'onnx', 'onnxruntime'}
# Somebody copies it.
RUNNER = {'numpy', 'cv2', 'PIL', 'onnxruntime'}
EXPERIMENT_LIBRARIES = {'torch', 'numpy', 'scipy', 'mmengine', 'rich', 'matplotlib', 'optuna'}


def imports(path):
    """Every imported module of a file, as a dotted name."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = path.relative_to(ROOT).with_suffix('').parts[: -node.level or None] if node.level else ()
            yield '.'.join([*package, *filter(None, [node.module])])


def rooms():
    return sorted(path.name for path in PACKAGE.iterdir() if (path / '__init__.py').exists())


def found(room):
    libraries, known = set(), set()
    for path in (PACKAGE / room).rglob('*.py'):
        for name in imports(path):
            top, *rest = name.split('.')
            if top == 'askd_mmdet':
                known.update(rest[:1])
            else:
                libraries.add(top)
    return libraries, known - {room}


def test_every_room_is_known_to_this_test():
    assert set(rooms()) <= {*CORE, *TASKS, 'toy', 'experiments', 'analysis', 'export', 'commands'}
    assert set(rooms()) >= CORE


@pytest.mark.parametrize('room', rooms())
def test_a_room_imports_what_it_may(room):
    libraries, known = found(room)
    frameworks = {'mmdet', 'mmpretrain'} & libraries
    if room in CORE:
        foreign = {name for name in libraries if name in third_party()} - CORE_LIBRARIES
        assert not foreign and known <= {*CORE, 'openmmlab'}
    elif room in TASKS:
        assert frameworks <= {TASKS[room]} and known <= {*CORE, 'core', 'folders', 'openmmlab', 'progress'}
    elif room == 'toy':
        assert {name for name in libraries if name in third_party()} <= TOY_LIBRARIES
        assert known <= {'folders', 'progress'}
    elif room == 'export':  # knows tasks by the networks that it is handed
        assert {name for name in libraries if name in third_party()} <= EXPORT_LIBRARIES
        assert known <= {*CORE, 'progress'}
    elif room == 'experiments':
        assert {name for name in libraries if name in third_party()} <= EXPERIMENT_LIBRARIES
        assert known <= {*CORE, 'version'}


def test_the_runner_of_exported_networks_stands_alone():
    libraries = {name.split('.')[0] for name in imports(PACKAGE / 'export/runner.py')}
    assert libraries - set(sys.stdlib_module_names) == RUNNER


@pytest.mark.parametrize('path', sorted((PACKAGE / 'commands').glob('*.py')), ids=lambda path: path.stem)
def test_a_command_imports_nothing_heavy_before_it_runs_and_no_other_command(path):
    tree = ast.parse(path.read_text())
    top = ast.unparse([node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))])
    names = {name for line in top.splitlines() for name in line.split()[1].split(',')}
    assert {name for name in names if name.split('.')[0] not in sys.stdlib_module_names} <= {'askd_mmdet.arguments'}
    assert not [name for name in imports(path) if name.startswith('askd_mmdet.commands')]


def test_no_file_changes_where_python_looks_for_modules():
    files = [path for folder in ('askd_mmdet', 'tools', 'benchmarks') for path in (ROOT / folder).rglob('*.py')]
    assert len(files) > 50
    for path in files:
        attributes = [
            ast.unparse(node) for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)
        ]
        assert not [name for name in attributes if name.startswith('sys.path')], path


def third_party():
    from importlib.metadata import packages_distributions

    return set(packages_distributions()) - set(sys.stdlib_module_names)


def test_the_reader_of_imports_sees_all_kinds(tmp_path):
    file = PACKAGE / 'detection' / 'made_up.py'
    lines = ['import a.b as c, d', 'from e import f', 'from . import g', 'from .h import i', 'from ..toy import j']
    source = '\n'.join([*lines, 'def k():', '    import l'])

    class Made:
        def read_text(self):
            return source

        def relative_to(self, root):
            return file.relative_to(root)

    assert list(imports(Made())) == [
        'a.b',
        'd',
        'e',
        'askd_mmdet.detection',
        'askd_mmdet.detection.h',
        'askd_mmdet.toy',
        'l',
    ]
