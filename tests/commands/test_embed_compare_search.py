"""`askd embed`, `compare` and `search` with a small network, against its embedder."""

import csv

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from skimage.data import lfw_subset

from askd_mmdet.recognition.embedder import FaceEmbedder, Faces, read_faces
from askd_mmdet.recognition.gallery import draw_sheet

MODEL = dict(
    type='FaceRecognizer',
    data_preprocessor=dict(type='ClsDataPreprocessor', mean=[127.5] * 3, std=[127.5] * 3, to_rgb=False),
    backbone=dict(type='IRResNet', depth=18, base_channels=4, input_size=32, embedding_dims=8),
    head=dict(type='ArcFaceHead', num_classes=5, in_channels=8),
)
PIPELINE = [
    dict(type='LoadPicture'),
    dict(type='Resize', scale=(32, 32)),
    dict(type='LowResolution', ratio=4, transforms=[dict(type='PackInputs')]),
]


@pytest.fixture(scope='module')
def network(tmp_path_factory):
    """Config, checkpoint, a checkpoint of another network, and one without a head."""
    folder = tmp_path_factory.mktemp('network')
    Config(dict(model=MODEL, test_dataloader=dict(dataset=dict(pipeline=PIPELINE)))).dump(folder / 'config.py')
    for seed in (0, 1):
        torch.manual_seed(seed)
        with DefaultScope.overwrite_default_scope('mmpretrain'):
            model = MODELS.build(MODEL)
        model.init_weights()
        torch.save(dict(state_dict=model.state_dict()), folder / f'{seed}.pth')
        if not seed:
            headless = {name: value for name, value in model.state_dict().items() if not name.startswith('head.')}
            torch.save(headless, folder / 'headless.pth')
    return folder


@pytest.fixture
def faces(tmp_path):
    """Twelve real faces: three probes, and a gallery with their exact copies among nine others and a damaged file."""
    for i, face in enumerate((255 * lfw_subset()[:12]).astype(np.uint8)):
        for folder in ('probes', 'gallery/deep') if i < 3 else ('gallery',):
            (tmp_path / folder).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(tmp_path / folder / f'{i:02}.png'), face)
    (tmp_path / 'gallery/cut.png').write_bytes((tmp_path / 'gallery/05.png').read_bytes()[:200])
    return tmp_path


@pytest.fixture
def tool(askd, network):
    """Runs a command with the network's config and checkpoint; returns status, output and errors."""

    def run(name, *arguments, config='config.py', checkpoint='0.pth'):
        return askd(name, network / config, network / checkpoint, *arguments)

    return run


def embedder(network, **settings):
    return FaceEmbedder(network / 'config.py', network / '0.pth', **settings)


@pytest.mark.parametrize('degrade', [False, True])
def test_embed_writes_names_and_embeddings(tool, network, faces, degrade):
    for name in ('._03.png', 'notes.txt', '.ipynb_checkpoints/03.png'):
        (faces / 'gallery' / name).parent.mkdir(exist_ok=True)
        (faces / 'gallery' / name).write_bytes((faces / 'gallery/03.png').read_bytes())
    out = faces / 'new/gallery.npz'
    status, output, errors = tool('embed', faces / 'gallery', out, *(['--degrade'] if degrade else []))
    assert status == 0 and '12 faces, 16 numbers each' in output
    assert f'warning: cannot read {faces / "gallery/cut.png"}, left it out' in errors
    assert 'passed over 1 files that do not end like a picture: .txt (1)' in errors
    written = read_faces(out)
    assert written.names == [f'{i:02}.png' for i in range(3, 12)] + [f'deep/{i:02}.png' for i in range(3)]
    own = embedder(network, degrade=degrade)
    assert written.fingerprint == own.fingerprint and written.folder == str(faces / 'gallery')
    expected = own.embed([faces / 'gallery' / name for name in written.names], batch_size=1)
    np.testing.assert_allclose(written.embeddings, expected, atol=1e-5)


def test_compare_prints_the_cosine(tool, network, faces):
    a, b = faces / 'probes/00.png', faces / 'probes/01.png'
    cosine = embedder(network).compare(a, b)
    assert tool('compare', a, b)[:2] == (0, f'{cosine:.4f}\n')
    assert tool('compare', a, b, '--threshold', cosine - 1e-3)[:2] == (0, f'{cosine:.4f} same\n')
    assert tool('compare', a, b, '--threshold', cosine + 1e-3)[:2] == (0, f'{cosine:.4f} different\n')
    assert tool('compare', a, a, '--cfg-options', 'model.head=None', checkpoint='headless.pth')[1] == '1.0000\n'


def rows_of(output):
    return [line.split('\t') for line in output.splitlines()]


def test_search_equals_a_sort_by_hand(tool, network, faces):
    options = ('--top', 3, '--csv', faces / 'new/found.csv', '--sheet', faces / 'new/sheet.png')
    status, output, _ = tool('search', faces / 'probes', faces / 'gallery', *options)
    assert status == 0
    own = embedder(network)
    gallery = sorted(path for path in (faces / 'gallery').rglob('*.png') if path.name != 'cut.png')
    expected = []
    for probe in sorted((faces / 'probes').iterdir()):
        cosines = {str(path.relative_to(faces / 'gallery')): own.compare(probe, path) for path in gallery}
        for rank, name in enumerate(sorted(cosines, key=cosines.get, reverse=True)[:3], 1):
            expected.append([probe.name, str(rank), name, f'{cosines[name]:.3f}'])
    found = [[*row[:3], f'{float(row[3]):.3f}'] for row in rows_of(output)]
    assert found == expected
    assert [row[2] for row in found if row[1] == '1'] == ['deep/00.png', 'deep/01.png', 'deep/02.png']
    with (faces / 'new/found.csv').open(newline='') as file:
        assert list(csv.reader(file)) == [['probe', 'rank', 'gallery', 'cosine'], *rows_of(output)]

    # A row for each probe: the probe, its copy, two others; two lines of text below each.
    sheet = cv2.imread(str(faces / 'new/sheet.png'))
    assert sheet.shape == (3 * 148, 4 * 112, 3)
    for i in range(3):
        row = sheet[148 * i : 148 * (i + 1)]
        picture = cv2.resize(cv2.imread(str(faces / f'probes/0{i}.png')), (112, 112), interpolation=cv2.INTER_AREA)
        np.testing.assert_array_equal(row[:112, :112], picture)
        np.testing.assert_array_equal(row[:112, 112:224], picture)
        assert np.abs(row[:112, 224:336].astype(int) - picture).mean() > 10
        lines = row[112:130], row[130:148]
        assert all(line[:, x : x + 112].max() > 200 for line in lines for x in range(0, 448, 112))
    assert {path.name for path in (faces / 'new').iterdir()} == {'found.csv', 'sheet.png'}


def test_search_takes_pictures_folders_and_files(tool, faces):
    whole = rows_of(tool('search', faces / 'probes', faces / 'gallery')[1])
    assert len(whole) == 3 * 5
    for folder in ('probes', 'gallery'):
        tool('embed', faces / folder, faces / f'{folder}.npz')
    from_files = tool('search', faces / 'probes.npz', faces / 'gallery.npz', '--sheet', faces / 'sheet.jpg')
    assert rows_of(from_files[1]) == whole
    assert cv2.imread(str(faces / 'sheet.jpg')).shape == (3 * 148, 6 * 112, 3)
    one = rows_of(tool('search', faces / 'probes/01.png', faces / 'gallery.npz')[1])
    assert one == [row for row in whole if row[0] == '01.png']
    own = rows_of(tool('search', faces / 'probes/01.png', faces / 'probes', '--top', 9)[1])
    assert sorted(row[2] for row in own) == ['00.png', '02.png']  # itself it need not find


def test_a_link_is_a_face_of_its_own_name(tool, faces):
    """It is drawn, and itself not found, though the file that it stands for is."""
    (faces / 'gallery/a link.png').symlink_to(faces / 'probes/00.png')
    arguments = faces / 'gallery/a link.png', faces / 'gallery', '--top', 99, '--sheet', faces / 'sheet.png'
    status, output, errors = tool('search', *arguments)
    assert status == 0, errors
    found = [row[2] for row in rows_of(output)]
    assert len(found) == 12 and found[0] == 'deep/00.png' and 'a link.png' not in found
    assert cv2.imread(str(faces / 'sheet.png'))[:112, :112].std() > 5


def test_a_sheet_has_no_more_columns_than_a_picture_can_hold(faces):
    probes = Faces(str(faces / 'probes'), ['00.png'], np.ones((1, 2), np.float32), '')
    gallery = Faces(str(faces / 'gallery'), ['03.png'], np.ones((1, 2), np.float32), '')
    assert draw_sheet(probes, gallery, [[(0, 1.0)] * 600]).shape == (148, 101 * 112, 3)


def test_embeddings_of_another_network_are_refused(tool, faces):
    tool('embed', faces / 'gallery', faces / 'gallery.npz', checkpoint='1.pth')
    status, output, errors = tool('search', faces / 'probes', faces / 'gallery.npz')
    assert status == 1 and output == ''
    assert 'gallery.npz was embedded by the network' in errors and 'embed the pictures again' in errors


def test_mistakes_are_one_message(tool, faces):
    picture, empty = faces / 'probes/00.png', faces / 'empty'
    empty.mkdir()
    (faces / 'bad.npz').write_bytes(b'no archive')
    cut = faces / 'gallery/cut.png'
    for name, arguments, status, message in (
        ('embed', (faces / 'nowhere', faces / 'a.npz'), 1, 'nowhere is no folder'),
        ('embed', (faces / 'probes', faces / 'a.txt'), 1, 'should end with .npz'),
        ('embed', (empty, faces / 'a.npz'), 1, 'empty holds no picture'),
        ('embed', (faces / 'probes', faces / 'a.npz', '--batch-size', 0), 2, 'argument --batch-size: 0 is less than 1'),
        ('embed', (faces / 'probes', faces / 'a.npz', '--device', 'abacus'), 1, "device 'abacus'"),
        ('compare', (picture, cut), 1, f'cannot read 1 of 2 pictures: {cut}'),
        ('compare', (picture, faces / 'gone.png'), 1, 'gone.png'),
        ('compare', (picture, picture, '--threshold', 2), 1, '--threshold is 2.0'),
        ('search', (faces / 'nowhere', picture), 1, 'nowhere does not exist'),
        ('search', (picture, cut), 1, 'cannot read 1 of 1 pictures'),
        ('search', (picture, faces / 'bad.npz'), 1, 'holds no embeddings that can be read'),
        ('search', (picture, picture, '--top', 0), 2, 'argument --top: 0 is less than 1'),
        ('search', (picture, picture, '--sheet', faces / 'sheet.gif'), 1, 'should end with .jpg or .png'),
    ):
        found, output, errors = tool(name, *arguments)
        assert (found, output) == (status, '') and message in errors, errors
    for settings, message in (
        (dict(config='gone.py'), 'no config at'),
        (dict(checkpoint='gone.pth'), 'no checkpoint at'),
        (dict(checkpoint='headless.pth'), 'weights missing in the file: head.'),
    ):
        found, output, errors = tool('compare', picture, picture, **settings)
        assert (found, output) == (1, '') and message in errors
    assert not (faces / 'a.npz').exists()
