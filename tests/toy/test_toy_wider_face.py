"""The toy WIDER FACE against the real one's files, against its own source pictures, and against itself."""

import json
import subprocess

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.io import loadmat
from skimage import data

from askd_mmdet.toy import make_wider_face, wider_face
from tests.toy_run import COMMAND

ARGUMENTS = dict(
    train_images=40,
    val_images=24,
    size=(120, 140),
    seed=3,
    faces_per_image=(1, 3),
    face_sizes=(6, 40),
    without_faces=0.25,
    subset_heights=(25, 15, 8),
)
DRAWING = [ARGUMENTS[name] for name in ('size', 'seed', 'faces_per_image', 'face_sizes', 'without_faces')]


@pytest.fixture(scope='module')
def toy(tmp_path_factory):
    """(folder, counts) of a small set."""
    folder = tmp_path_factory.mktemp('toy') / 'wider_face'
    return folder, make_wider_face(folder, **ARGUMENTS)


def files(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob('*') if p.is_file()}


def parse(path):
    """{event/name.jpg: (N, 4) boxes} from annotation text, one line at a time."""
    images = {}
    lines = iter(path.read_text().splitlines())
    for name in lines:
        count = int(next(lines))
        rows = [[int(word) for word in next(lines).split()] for _ in range(max(count, 1))]
        assert all(len(row) == 10 for row in rows)
        assert count or rows == [[0] * 10]
        images[name] = np.array(rows)[:count, :4]
    return images


def ground_truth(folder, name):
    """{event/name.jpg: (boxes, counting faces or None)} from one .mat file."""
    mat = loadmat(folder / 'eval_tools/ground_truth' / f'wider_{name}_val.mat')
    result = {}
    for e, (event,) in enumerate(mat['event_list']):
        for i, (image,) in enumerate(mat['file_list'][e, 0]):
            counting = mat['gt_list'][e, 0][i, 0][:, 0] if 'gt_list' in mat else None
            result[f'{event[0]}/{image[0]}.jpg'] = mat['face_bbx_list'][e, 0][i, 0], counting
    return result


@pytest.mark.parametrize('split', ['train', 'val'])
def test_the_text_lists_every_picture_and_only_boxes_inside(toy, split):
    folder, counts = toy
    images = parse(folder / f'wider_face_split/wider_face_{split}_bbx_gt.txt')
    pictures = folder / f'WIDER_{split}/images'
    assert set(images) == {str(p.relative_to(pictures)) for p in pictures.glob('*/*')}
    assert len(images) == counts[f'{split}_images'] == ARGUMENTS[f'{split}_images']
    assert sum(map(len, images.values())) == counts[f'{split}_faces']
    assert {len(boxes) for boxes in images.values()} == {0, 1, 2, 3}
    for name, boxes in images.items():
        with Image.open(pictures / name) as picture:
            assert (picture.format, picture.mode, picture.size) == ('JPEG', 'RGB', (140, 120))
        assert (boxes[:, :2] >= 0).all() and (boxes[:, :2] + boxes[:, 2:] <= (140, 120)).all()
        assert ((boxes[:, 3] >= 6) & (boxes[:, 3] <= 40)).all()
        assert np.abs(boxes[:, 2] - 0.75 * boxes[:, 3]).max(initial=0) <= 1


def test_the_ground_truth_agrees_with_the_text(toy):
    folder, counts = toy
    images = parse(folder / 'wider_face_split/wider_face_val_bbx_gt.txt')
    everything = ground_truth(folder, 'face')
    assert list(everything) == list(images)
    for name, boxes in images.items():
        np.testing.assert_array_equal(everything[name][0], boxes if len(boxes) else [[0] * 4])
    subsets = {name: ground_truth(folder, name) for name in ('easy', 'medium', 'hard')}
    for (subset, truth), height in zip(subsets.items(), ARGUMENTS['subset_heights']):
        for name, boxes in images.items():
            expected = [i for i, box in enumerate(boxes, 1) if box[3] >= height]
            assert truth[name][1].tolist() == expected
            np.testing.assert_array_equal(truth[name][0], everything[name][0])
        assert counts[subset] == sum(len(counting) for _, counting in truth.values())
    for name in images:
        easy, medium, hard = (set(subsets[subset][name][1]) for subset in subsets)
        assert easy <= medium <= hard
    assert 0 < counts['easy'] < counts['medium'] < counts['hard'] < counts['val_faces']


@pytest.mark.parametrize('name', ['face', 'easy', 'medium', 'hard'])
def test_the_ground_truth_is_nested_and_typed_as_the_real_one(toy, real_wider_face, name):
    def leaves(array, *containers):
        """The cells on the way to every leaf, and the leaf's type and shape, but for lengths."""
        if array.dtype != object:
            kind = 'text' if array.dtype.kind == 'U' else array.dtype.name
            return {(*containers, kind, array.ndim, *array.shape[1:])}
        return set().union(*(leaves(item, *containers, array.shape[1:]) for item in array.flat))

    toy_mat, real_mat = (
        loadmat(folder / f'wider_{name}_val.mat')
        for folder in (toy[0] / 'eval_tools/ground_truth', real_wider_face / 'ground_truth')
    )
    keys = ['event_list', 'file_list', 'face_bbx_list'] + ['gt_list'] * (name != 'face')
    assert sorted(key for key in toy_mat if key[0] != '_') == sorted(keys)
    for key in keys:
        assert leaves(toy_mat[key]) <= leaves(real_mat[key])


def test_validation_shows_nothing_that_training_shows():
    train, val = (wider_face.patch_indices(split) for split in wider_face.SPLITS)
    for first, second in zip(train, val):
        assert not set(first) & set(second)
    assert set(train[0]) | set(val[0]) == set(range(100))
    assert min(train[1].min(), val[1].min()) >= 100
    for event, name in [('1--Cat', 'chelsea'), ('2--Coffee', 'coffee')]:
        whole = cv2.cvtColor(getattr(data, name)(), cv2.COLOR_RGB2GRAY)
        halves = [wider_face.background(event, split) for split in wider_face.SPLITS]
        assert np.abs(np.hstack(halves).astype(int) - whole).max() <= 1


@pytest.mark.parametrize('split', wider_face.SPLITS)
def test_patches_are_where_the_boxes_say(split):
    source = data.lfw_subset()
    correlations = []
    for index in range(30):
        picture = wider_face.draw_picture(split, index, (160, 160), 0, (1, 5), (10, 48), 0)
        faces, non_faces = wider_face.patch_indices(split)
        assert set(picture.faces) <= set(faces) and set(picture.non_faces) <= set(non_faces)
        assert len(picture.boxes) == len(picture.non_face_boxes) == len(picture.faces) >= 1
        patches = source[np.concatenate([picture.faces, picture.non_faces])]
        boxes = np.concatenate([picture.boxes, picture.non_face_boxes])
        for patch, (x, y, width, height), flipped in zip(patches, boxes, picture.flipped):
            # The box without the faded border, from the picture and from its source.
            patch = patch[:, 2:20][:, ::-1] if flipped else patch[:, 2:20]
            if height < 24:
                continue  # Too coarse to compare.
            pixels = Image.fromarray(picture.image[y : y + height, x : x + width])
            pixels = np.asarray(pixels.resize((18, 24), Image.Resampling.BOX))
            pair = (part[3:21, 3:15].ravel() for part in (pixels, patch))
            correlations.append(np.corrcoef(*pair)[0, 1])
    assert len(correlations) > 60
    assert np.min(correlations) > 0.8


@settings(max_examples=40, deadline=None)
@given(
    index=st.integers(0, 10**6),
    seed=st.integers(0, 2**63),
    height=st.integers(100, 300),
    width=st.integers(100, 300),
    most=st.integers(1, 4),
    low=st.integers(1, 20),
    high=st.integers(20, 32),
)
def test_patches_never_overlap_and_heights_are_in_range(index, seed, height, width, most, low, high):
    picture = wider_face.draw_picture('val', index, (height, width), seed, (1, most), (low, high), 0)
    assert picture.image.shape == (height, width) and picture.image.dtype == np.uint8
    boxes = np.concatenate([picture.boxes, picture.non_face_boxes])
    assert 2 <= len(boxes) <= 2 * most
    assert boxes[:, 3].min() >= low and boxes[:, 3].max() <= high
    covered = np.zeros((height, width), int)
    for x, y, w, h in boxes:
        assert x >= 0 and y >= 0 and x + w <= width and y + h <= height
        covered[y : y + h, x : x + w] += 1
    assert covered.max() == 1


def test_faces_and_non_faces_are_alike_in_brightness_and_contrast():
    statistics = [[], []]
    for index in range(300):
        picture = wider_face.draw_picture('train', index, (160, 160), 1, (3, 3), (20, 32), 0)
        for values, boxes in zip(statistics, (picture.boxes, picture.non_face_boxes)):
            for x, y, w, h in boxes:
                values.append(picture.image[y : y + h, x : x + w].mean())
    faces, non_faces = map(np.array, statistics)
    # The share of (face, non-face) pairs with the brighter face: 0.5 says nothing, 0 and 1 all.
    assert 0.35 < (faces[:, None] > non_faces).mean() < 0.65


def test_the_same_arguments_give_the_same_bytes(toy, tmp_path):
    folder, counts = toy
    assert make_wider_face(tmp_path / 'again', **ARGUMENTS) == counts
    assert files(tmp_path / 'again') == files(folder)
    assert list(tmp_path.iterdir()) == [tmp_path / 'again']


def test_a_picture_depends_on_seed_split_and_index_only(toy, tmp_path):
    few, other = tmp_path / 'few', tmp_path / 'other'
    make_wider_face(few, **(ARGUMENTS | dict(train_images=5, val_images=1)))
    make_wider_face(other, **(ARGUMENTS | dict(train_images=5, val_images=1, seed=4)))
    name = 'WIDER_train/images/4--Gravel/4_Gravel_train_4.jpg'
    assert (few / name).read_bytes() == (toy[0] / name).read_bytes() != (other / name).read_bytes()


def test_pictures_are_close_to_what_was_drawn_and_grey(toy):
    path = toy[0] / 'WIDER_val/images/2--Coffee/2_Coffee_val_13.jpg'
    pixels = np.asarray(Image.open(path)).astype(int)
    drawn = wider_face.draw_picture('val', 13, *DRAWING).image
    assert np.ptp(pixels, axis=2).max() == 0
    assert np.abs(pixels[..., 0] - drawn).mean() < 2


def test_a_complete_set_is_kept_and_others_are_never_lost(toy, tmp_path):
    folder, counts = toy
    before = {p: p.stat().st_mtime_ns for p in folder.rglob('*')}
    assert make_wider_face(folder, **ARGUMENTS) == counts
    with pytest.raises(FileExistsError, match=r'seed=3 and seed=5 is wanted.*--force'):
        make_wider_face(folder, **(ARGUMENTS | dict(seed=5)))
    assert {p: p.stat().st_mtime_ns for p in folder.rglob('*')} == before

    foreign = tmp_path / 'foreign'
    foreign.mkdir()
    (foreign / 'thesis.txt').write_text('precious')
    for force in (False, True):
        with pytest.raises(FileExistsError, match='holds no toy set'):
            make_wider_face(foreign, **ARGUMENTS, force=force)
    assert files(foreign) == {(foreign / 'thesis.txt').relative_to(foreign): b'precious'}


def test_force_replaces_a_toy_set(tmp_path):
    small = ARGUMENTS | dict(train_images=3, val_images=2)
    make_wider_face(tmp_path / 'toy', **small)
    make_wider_face(tmp_path / 'toy', **(small | dict(seed=9)), force=True)
    make_wider_face(tmp_path / 'fresh', **(small | dict(seed=9)))
    assert files(tmp_path / 'toy') == files(tmp_path / 'fresh')
    assert sorted(p.name for p in tmp_path.iterdir()) == ['fresh', 'toy']


def test_an_interrupted_run_leaves_nothing(tmp_path, monkeypatch):
    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(wider_face, 'write_ground_truth', interrupted)
    with pytest.raises(KeyboardInterrupt):
        make_wider_face(tmp_path / 'toy', **ARGUMENTS)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    'argument, message',
    [
        (dict(train_images=0), 'train_images is 0, expected at least 1'),
        (dict(val_images=0), 'val_images is 0'),
        (dict(seed=-1), 'seed is -1'),
        (dict(faces_per_image=(3, 2)), r'faces_per_image is \[3, 2\], expected 1 <= low <= high'),
        (dict(face_sizes=(0, 9)), 'face_sizes'),
        (dict(face_sizes=(10, 120)), 'expected at least 125 for faces of 120 pixels'),
        (dict(without_faces=1.5), 'without_faces is 1.5'),
        (dict(subset_heights=(10, 20, 5)), 'easy >= medium >= hard'),
        (dict(faces_per_image=(50, 50)), '50 faces of 6 to 40 pixels .* find no room'),
    ],
)
def test_bad_arguments_are_named(tmp_path, argument, message):
    with pytest.raises(ValueError, match=message):
        make_wider_face(tmp_path / 'toy', **(ARGUMENTS | argument))
    assert not (tmp_path / 'toy').exists()


def test_a_missing_source_picture_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(wider_face._BACKGROUNDS, '0--Brick', 'lost.png')
    wider_face.background.cache_clear()
    with pytest.raises(FileNotFoundError, match=r'lost\.png.*reinstall'):
        make_wider_face(tmp_path / 'toy', **ARGUMENTS)


def test_the_command(tmp_path):
    def run(*arguments):
        command = [*COMMAND, 'toy', 'wider_face', *arguments]
        return subprocess.run(list(map(str, command)), capture_output=True, text=True)

    options = ['--train-images', 3, '--val-images', 4, '--size', 120, 140, '--seed', 7]
    folder = tmp_path / 'toy'
    make_wider_face(folder, 1, 1, seed=8)
    refused = run(folder, *options)
    assert refused.returncode == 1
    assert 'seed=8 and' in refused.stderr and 'seed=7 is wanted' in refused.stderr
    assert 'Traceback' not in refused.stderr

    done = run(folder, *options, '--force')
    assert done.returncode == 0, done.stderr
    counts = json.loads((folder / 'toy.json').read_text())['counts']
    assert str(folder) in done.stdout
    assert '4 val images' in done.stdout and f'{counts["val_faces"]} val faces' in done.stdout
    assert f'{counts["easy"]} easy, {counts["medium"]} medium, {counts["hard"]} hard' in done.stdout
    assert len(parse(folder / 'wider_face_split/wider_face_train_bbx_gt.txt')) == 3
    assert make_wider_face(folder, 3, 4, size=(120, 140), seed=7) == counts
