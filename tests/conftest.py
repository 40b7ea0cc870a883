import os
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import settings
from mmengine.registry import DefaultScope

# A busy machine is no bug.
settings.register_profile('no_deadline', deadline=None)
settings.load_profile('no_deadline')

ROOT = Path(__file__).resolve().parents[1]
REAL_DATA = Path(os.environ.get('ASKD_REAL_DATA', ROOT.parent / 'shared' / 'data'))

if find_spec('mmdet') is None:  # make test-upstream: the core alone, tested by what does not need a task
    collect_ignore = ['degradation/test_transform.py', 'distillation/test_hook.py', 'distillation/test_logit.py']


@pytest.fixture(scope='session')
def root():
    """The checkout: where configs/ and tools/ are."""
    return ROOT


@pytest.fixture(scope='session')
def real_wider_face():
    """Real WIDER FACE pictures and ground truth, which cannot be part of the project."""
    folder = REAL_DATA / 'wider_face'
    if not folder.is_dir():
        pytest.skip(f'no real WIDER FACE data in {folder} (set ASKD_REAL_DATA to have this test)')
    return folder


@pytest.fixture(scope='session')
def toy_data(tmp_path_factory):
    """A toy WIDER FACE of eight training and four validation pictures."""
    from askd_mmdet.toy import make_wider_face

    folder = tmp_path_factory.mktemp('toy') / 'wider_face'
    make_wider_face(folder, train_images=8, val_images=4, size=(96, 96), without_faces=0)
    return folder


@pytest.fixture(scope='session')
def toy_faces(tmp_path_factory):
    """A toy recognition set of three persons to train on, and four to verify and identify."""
    from askd_mmdet.toy import make_face_identities

    folder = tmp_path_factory.mktemp('toy') / 'faces'
    counts = dict(train_identities=3, train_pictures=4, validation_identities=4, pairs=20, probes=8, gallery=4)
    make_face_identities(folder, **counts, distractors=5)
    return folder


@pytest.fixture
def askd(monkeypatch, capsys):
    """Runs a command in this process; returns its status, and what it printed on stdout and stderr."""
    from askd_mmdet.commands import main

    monkeypatch.setenv('COLUMNS', '500')

    def run(*arguments):
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main([str(argument) for argument in arguments])
        output, errors = capsys.readouterr()
        status = end.value.code
        # Python prints the message of an exit, and exits with 1.
        return (1, output, errors + status) if isinstance(status, str) else (status or 0, output, errors)

    return run


@pytest.fixture(autouse=True)
def fresh_scope():
    """Runners leave their default scope behind, in which the next test would look for other names."""
    yield
    DefaultScope._instance_dict.clear()
