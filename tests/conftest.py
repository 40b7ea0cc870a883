import json
import os
import signal
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import settings
from mmengine.registry import DefaultScope

# A busy machine is no bug.
settings.register_profile('no_deadline', deadline=None)
settings.load_profile('no_deadline')

# A shell has what it starts in the background ignore Ctrl-C, and so would all that is started here to be interrupted.
signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).resolve().parents[1]
REAL_DATA = Path(os.environ.get('ASKD_REAL_DATA', ROOT.parent / 'shared' / 'data'))

if find_spec('mmdet') is None:  # make test-upstream: the core alone, tested by what does not need a task
    needing = {'degradation': ('hook', 'transform'), 'distillation': ('hook', 'logit', 'own_model')}
    collect_ignore = [f'{room}/test_{name}.py' for room, names in needing.items() for name in names]


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


@pytest.fixture(scope='module')
def unformatted_configs():
    """The Runner lays out its config five times for a human reader, which takes longer than a small run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('yapf.yapflib.yapf_api.FormatCode', lambda text, **style: (text, False))
        yield


def noise(path, generator):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), generator.integers(0, 256, (96, 96, 3), dtype=np.uint8))


@pytest.fixture(scope='session')
def coco(tmp_path_factory):
    """Four pictures with a person each, in COCO's format."""
    folder = tmp_path_factory.mktemp('coco')
    generator = np.random.default_rng(0)
    images, annotations = [], []
    for i in range(4):
        noise(folder / f'{i}.png', generator)
        images.append(dict(id=i, file_name=f'{i}.png', width=96, height=96))
        box = [10 + 5 * i, 20, 40, 50]
        annotations.append(dict(id=i + 1, image_id=i, category_id=1, bbox=box, area=2000, iscrowd=0))
    content = dict(images=images, annotations=annotations, categories=[dict(id=1, name='person')])
    (folder / 'annotations.json').write_text(json.dumps(content))
    return folder


@pytest.fixture(scope='session')
def imagenet(tmp_path_factory):
    """Two classes of four pictures, in ImageNet's folders."""
    folder = tmp_path_factory.mktemp('imagenet')
    generator = np.random.default_rng(0)
    for split in ('train', 'val'):
        for i in range(8):
            noise(folder / split / 'ab'[i % 2] / f'{i}.JPEG', generator)
    return folder


@pytest.fixture(autouse=True)
def fresh_scope():
    """Runners leave their default scope behind, in which the next test would look for other names."""
    yield
    DefaultScope._instance_dict.clear()
