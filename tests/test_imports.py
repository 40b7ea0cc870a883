"""What importing the rooms that configs name brings into a process, and what the command does without."""

import os
import subprocess
import sys
from functools import cache

import pytest

# Packages that only reports, tuning, alignment and toys use; OpenMMLab's own modules bring some of them.
RARELY_USED = ('skimage', 'scipy', 'optuna', 'matplotlib')
MMDET = 'mmdet.datasets, mmdet.engine, mmdet.models, mmdet.visualization'
MMPRETRAIN = 'mmpretrain.datasets, mmpretrain.engine, mmpretrain.models, mmpretrain.visualization'


@cache
def loaded(root, code):
    """The modules in a fresh process that has run `code`."""
    done = subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', f'{code}\nimport sys\nprint("loaded:", *sys.modules)'],
        env=os.environ | dict(PYTHONPATH=str(root)),
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.rpartition('loaded:')[2].split())


@pytest.mark.parametrize(
    ('room', 'neighbours'),
    [
        ('distillation', 'mmcv, mmengine.runner'),
        ('detection', MMDET),
        ('recognition', MMPRETRAIN),
        ('classification', MMPRETRAIN),
    ],
)
def test_a_room_imports_nothing_that_is_rarely_used(root, room, neighbours):
    ours, theirs = loaded(root, f'import askd_mmdet.{room}'), loaded(root, f'import {neighbours}')
    assert f'askd_mmdet.{room}' in ours and 'mmengine.runner' in ours & theirs
    assert not {name for name in ours - theirs if name.startswith(RARELY_USED)}


def test_the_help_of_the_command_imports_neither_torch_nor_openmmlab(root):
    code = 'import contextlib\nfrom askd_mmdet.__main__ import main\nwith contextlib.suppress(SystemExit): main()'
    modules = loaded(root, f'import sys\nsys.argv = ["askd", "--help"]\n{code}')
    assert 'askd_mmdet.commands' in modules
    assert not modules & {'torch', 'mmengine', 'mmcv', 'mmdet', 'mmpretrain', 'numpy', *RARELY_USED}
