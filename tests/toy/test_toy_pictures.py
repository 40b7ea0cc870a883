"""The toy picture classes against mmpretrain's reader, against made-up photographs, and against themselves."""

import json
import subprocess
import sys

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmpretrain.datasets import CustomDataset
from PIL import Image
from skimage import data

from askd_mmdet.degradation import low_resolution
from askd_mmdet.toy import make_picture_classes, pictures
from askd_mmdet.toy.pictures import CLASSES, draw_piece
from tests.toy_run import COMMAND

ARGUMENTS = dict(train_pictures=3, val_pictures=2, size=48, seed=3)


@pytest.fixture(scope='module')
def toy(tmp_path_factory):
    """(folder, counts) of a small set."""
    folder = tmp_path_factory.mktemp('toy') / 'pictures'
    return folder, make_picture_classes(folder, **ARGUMENTS)


def files(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob('*') if p.is_file()}


@pytest.mark.parametrize('split, count', [('train', 3), ('val', 2)])
def test_mmpretrain_reads_the_class_folders(toy, split, count):
    folder, counts = toy
    found = CustomDataset(data_root=str(folder), data_prefix=split)
    assert list(found.CLASSES) == list(CLASSES) and len(CLASSES) == counts['classes'] == 9
    assert found.get_gt_labels().tolist() == np.repeat(np.arange(9), count).tolist()
    assert counts[f'{split}_images'] == len(found)
    for i in range(len(found)):
        path = found.get_data_info(i)['img_path']
        with Image.open(path) as picture:
            assert (picture.format, picture.mode, picture.size) == ('JPEG', 'RGB', (48, 48))
            pixels = np.asarray(picture).astype(int)
        assert np.ptp(pixels, axis=2).max() == 0
        name, index = path.split('/')[-1].removesuffix('.jpg').split('_')
        expected = draw_piece(name, split, int(index), size=48, seed=3)
        assert np.abs(pixels[..., 0] - expected).mean() < 4  # JPEG


@pytest.mark.parametrize('split, other', [('train', slice(650, None)), ('val', slice(None, 650))])
def test_a_piece_shows_nothing_of_what_the_other_split_sees(tmp_path, monkeypatch, split, other):
    """Of a photograph that is flat but for the other split's part, every piece is flat to its corners."""
    photograph = np.full((200, 1000), 128, np.uint8)
    photograph[:, other] = np.random.default_rng(0).integers(0, 256, photograph[:, other].shape)
    cv2.imwrite(str(tmp_path / 'made.png'), photograph)
    monkeypatch.setitem(CLASSES, 'brick', str(tmp_path / 'made.png'))
    monkeypatch.setattr(pictures, 'photograph', pictures.photograph.__wrapped__)
    for seed in range(10):
        for index in range(50):
            assert np.ptp(draw_piece('brick', split, index, size=64, seed=seed)) == 0
    opposite = {'train': 'val', 'val': 'train'}[split]
    assert all(draw_piece('brick', opposite, i, size=64, seed=0).std() > 10 for i in range(50))


def test_pieces_are_turned_and_scaled_and_mirrored_but_whole(tmp_path, monkeypatch):
    """Of stripes that rise to the right at 45 degrees, 8 pixels apart."""
    y, x = np.mgrid[:300, :1000]
    cv2.imwrite(str(tmp_path / 'made.png'), np.uint8(128 + 100 * np.cos(2 * np.pi * (x + y) / 8 / 2**0.5)))
    monkeypatch.setitem(CLASSES, 'brick', str(tmp_path / 'made.png'))
    monkeypatch.setattr(pictures, 'photograph', pictures.photograph.__wrapped__)
    angles, periods = [], []
    for index in range(60):
        piece = draw_piece('brick', 'train', index, size=64, seed=0).astype(float)
        spectrum = np.abs(np.fft.rfft2(piece - piece.mean(), (512, 512)))
        v, u = np.unravel_index(spectrum.argmax(), spectrum.shape)
        v = v - 512 if v > 256 else v
        angles.append(np.degrees(np.arctan2(v, u)))
        periods.append(512 / np.hypot(u, v))
    angles, scales = np.array(angles), 8 / np.array(periods)
    assert (angles > 0).any() and (angles < 0).any()
    assert 10 < np.abs(np.abs(angles) - 45).max() < 17
    assert 0.85 < scales.min() < 1 and 1.4 < scales.max() < 1.6


def test_the_photographs_are_scikit_images():
    names = dict(brick='brick', coins='coins', galaxies='hubble_deep_field', grass='grass', gravel='gravel')
    names |= dict(handwriting='text', moon='moon', print='page', tissue='immunohistochemistry')
    assert list(names) == list(CLASSES) == sorted(CLASSES)
    for name, function in names.items():
        whole = getattr(data, function)()
        grey = whole if whole.ndim == 2 else whole @ (0.299, 0.587, 0.114)
        parts = [pictures.photograph(name, split) for split in ('train', 'val')]
        assert np.abs(np.hstack(parts) - grey).max() <= 1


def texture(picture):
    """How much of it is at which scale, and how much of that is horizontal."""
    picture = picture.astype(float)
    found = []
    for sigma in (0.7, 1.4, 2.8, 5.6):
        smooth = cv2.GaussianBlur(picture, (0, 0), sigma)
        dx, dy = np.diff(smooth, axis=1)[:-1], np.diff(smooth, axis=0)[:, :-1]
        found += [np.log(np.hypot(dx, dy).mean() + 0.1), 2 * np.log((dx.std() + 0.1) / (dy.std() + 0.1))]
    return np.array(found)


def test_texture_tells_the_classes_and_low_resolution_takes_it_away():
    def accuracy(degrade):
        centers = np.array([
            np.mean([texture(degrade(draw_piece(name, 'train', i, 64, 0))) for i in range(30)], axis=0)
            for name in CLASSES
        ])  # fmt: skip
        hits = [
            np.linalg.norm(centers - texture(degrade(draw_piece(name, 'val', i, 64, 0))), axis=1).argmin() == label
            for label, name in enumerate(CLASSES)
            for i in range(15)
        ]
        return np.mean(hits)

    high, low = accuracy(np.asarray), accuracy(lambda picture: low_resolution(picture, 4))
    assert high > low + 0.1 and low > 0.2, (high, low)


def test_brightness_and_contrast_give_no_class_away():
    values = {
        name: [(piece.mean(), piece.std()) for piece in (draw_piece(name, 'train', i, 64, 0) for i in range(60))]
        for name in ('brick', 'grass', 'gravel', 'print', 'tissue')
    }
    means = np.array([np.mean(pairs, axis=0) for pairs in values.values()])
    assert (np.ptp(means, axis=0) < (12, 8)).all(), means


@settings(max_examples=40)
@given(
    name=st.sampled_from(list(CLASSES)),
    split=st.sampled_from(['train', 'val']),
    index=st.integers(0, 10**6),
    size=st.integers(16, 150),
    seed=st.integers(0, 2**63),
)
def test_every_picture_is_a_picture(name, split, index, size, seed):
    piece = draw_piece(name, split, index, size, seed)
    assert piece.shape == (size, size) and piece.dtype == np.uint8
    assert piece.std() > 1
    np.testing.assert_array_equal(piece, draw_piece(name, split, index, size, seed))
    assert (piece != draw_piece(name, split, index + 1, size, seed)).mean() > 0.5


def test_the_same_arguments_give_the_same_bytes_in_another_process(toy, tmp_path):
    folder, counts = toy
    code = f'from askd_mmdet.toy import make_picture_classes as make; make({str(tmp_path / "again")!r}, **{ARGUMENTS})'
    subprocess.run([sys.executable, '-c', code], check=True)
    assert files(tmp_path / 'again') == files(folder)
    assert json.loads((folder / 'toy.json').read_text())['counts'] == counts
    assert list(tmp_path.iterdir()) == [tmp_path / 'again']


def test_a_picture_is_the_same_however_many_there_are(toy, tmp_path):
    make_picture_classes(tmp_path / 'more', **(ARGUMENTS | dict(train_pictures=5)))
    more = files(tmp_path / 'more')
    assert all(more[path] == content for path, content in files(toy[0]).items() if path.suffix == '.jpg')
    assert len(more) == 9 * (5 + 2) + 1


def test_a_complete_set_is_kept_and_others_are_never_lost(toy, tmp_path):
    folder, counts = toy
    before = {p: p.stat().st_mtime_ns for p in folder.rglob('*')}
    assert make_picture_classes(folder, **ARGUMENTS) == counts
    with pytest.raises(FileExistsError, match=r'seed=3 and seed=5 is wanted.*--force'):
        make_picture_classes(folder, **(ARGUMENTS | dict(seed=5)))
    assert {p: p.stat().st_mtime_ns for p in folder.rglob('*')} == before

    (tmp_path / 'train').mkdir()
    with pytest.raises(FileExistsError, match='holds no toy set'):
        make_picture_classes(tmp_path, **ARGUMENTS, force=True)
    assert list(tmp_path.iterdir()) == [tmp_path / 'train']


def test_an_interrupted_run_leaves_nothing(tmp_path, monkeypatch):
    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(pictures, 'encode_jpeg', interrupted)
    with pytest.raises(KeyboardInterrupt):
        make_picture_classes(tmp_path / 'toy', **ARGUMENTS)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    'argument, message',
    [
        (dict(train_pictures=0), 'train_pictures is 0, expected at least 1'),
        (dict(val_pictures=0), 'val_pictures is 0, expected at least 1'),
        (dict(size=15), 'size is 15, expected at least 16 pixels'),
        (dict(seed=-1), 'seed is -1, expected at least 0'),
    ],
)
def test_bad_arguments_are_named(tmp_path, argument, message):
    with pytest.raises(ValueError, match=message):
        make_picture_classes(tmp_path / 'toy', **(ARGUMENTS | argument))
    assert not (tmp_path / 'toy').exists()


def test_a_missing_source_picture_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(CLASSES, 'brick', 'lost.png')
    monkeypatch.setattr(pictures, 'photograph', pictures.photograph.__wrapped__)
    with pytest.raises(FileNotFoundError, match=r'lost\.png.*reinstall'):
        make_picture_classes(tmp_path / 'toy', **ARGUMENTS)


def test_the_command(toy, tmp_path):
    def run(*arguments):
        command = [*COMMAND, 'toy', 'pictures', *arguments]
        return subprocess.run(list(map(str, command)), capture_output=True, text=True)

    options = [word for name, value in ARGUMENTS.items() for word in (f'--{name.replace("_", "-")}', value)]
    done = run(tmp_path / 'toy', *options)
    assert done.returncode == 0 and not done.stderr
    assert files(tmp_path / 'toy') == files(toy[0])
    assert all(text in done.stdout for text in ('27 train images', '18 val images', '9 classes'))

    refused = run(tmp_path / 'toy', *options, '--seed', 4)
    assert refused.returncode == 1
    assert 'seed=3 and seed=4 is wanted' in refused.stderr and 'Traceback' not in refused.stderr
