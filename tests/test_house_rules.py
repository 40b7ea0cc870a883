"""Who may import whom."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / 'askd_mmdet'
CORE = {'attention', 'degradation', 'distillation', 'training'}
TASKS = {'detection': 'mmdet', 'recognition': 'mmpretrain', 'classification': 'mmpretrain'}
# What a room may import beside the standard library, and which rooms it may know.
CORE_LIBRARIES = {'torch', 'numpy', 'cv2', 'PIL', 'mmengine', 'mmcv'}
TOY_LIBRARIES = {'numpy', 'cv2', 'scipy', 'rich', 'skimage'}
EXPERIMENT_LIBRARIES = {'torch', 'numpy', 'scipy', 'mmengine', 'rich'}


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
    assert set(rooms()) <= {*CORE, *TASKS, 'toy', 'experiments', 'analysis'}
    assert set(rooms()) >= CORE


@pytest.mark.parametrize('room', rooms())
def test_a_room_imports_what_it_may(room):
    libraries, known = found(room)
    frameworks = {'mmdet', 'mmpretrain'} & libraries
    if room in CORE:
        foreign = {name for name in libraries if name in third_party()} - CORE_LIBRARIES
        assert not foreign and known <= CORE
    elif room in TASKS:
        assert frameworks <= {TASKS[room]} and known <= CORE
    elif room == 'toy':
        assert {name for name in libraries if name in third_party()} <= TOY_LIBRARIES and not known
    elif room == 'experiments':
        assert {name for name in libraries if name in third_party()} <= EXPERIMENT_LIBRARIES and known <= CORE


def third_party():
    import sys
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
