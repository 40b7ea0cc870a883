"""The crop against its definition, computed face by face."""

import copy

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmdet.registry import TRANSFORMS
from mmdet.structures.bbox import HorizontalBoxes

from askd_mmdet.detection.square_crop import SquareCrop

SCALES = (0.3, 0.45, 0.6, 0.8, 1.0)


def sample(height, width, boxes, ignored=None):
    """What LoadAnnotations hands on; the pixel at (x, y) is (y, x, 0), the label of face i is i."""
    y, x = np.mgrid[:height, :width]
    boxes = np.float32(boxes).reshape(-1, 4)
    return dict(
        img=np.stack([y, x, 0 * x], axis=2).astype(np.int32),
        img_shape=(height, width),
        gt_bboxes=HorizontalBoxes(boxes),
        gt_bboxes_labels=np.arange(len(boxes)),
        gt_ignore_flags=np.zeros(len(boxes), bool) if ignored is None else np.array(ignored, bool),
    )


@st.composite
def samples(draw):
    """Images of any shape; boxes with x, y, width, height in pixels that may reach outside."""
    height, width = draw(st.integers(1, 120)), draw(st.integers(1, 120))
    position, size = st.integers(-30, 130), st.integers(1, 60)
    faces = draw(st.lists(st.tuples(position, position, size, size, st.booleans()), max_size=6))
    boxes = [(x, y, x + w, y + h) for x, y, w, h, _ in faces]
    return sample(height, width, boxes, [face[4] for face in faces])


@given(samples(), st.integers(0, 2**32 - 1), st.sampled_from([1, 250, 10**5]))
def test_crop_and_boxes_agree_with_the_definition(before, seed, tries):
    np.random.seed(seed)
    after = SquareCrop(SCALES, tries)(copy.deepcopy(before))
    height, width = before['img_shape']

    side = len(after['img'])
    top, left = after['img'][0, 0, :2].tolist()
    assert after['img_shape'] == (side, side) == after['img'].shape[:2]
    assert any(abs(side - scale * min(height, width)) <= 0.5 or side == 1 for scale in SCALES)
    assert left + side <= width and top + side <= height
    np.testing.assert_array_equal(after['img'], before['img'][top : top + side, left : left + side])

    kept, counts_inside, counts_at_all = [], False, False
    for i, (x1, y1, x2, y2) in enumerate(before['gt_bboxes'].tensor.tolist()):
        x, y = (x1 + x2) / 2, (y1 + y2) / 2
        inside = left <= x < left + side and top <= y < top + side
        counts = not before['gt_ignore_flags'][i]
        counts_inside |= inside and counts
        counts_at_all |= counts and 0 <= x < width and 0 <= y < height
        if inside:
            box = [x1 - left, y1 - top, x2 - left, y2 - top]
            kept.append((i, not counts, [min(max(value, 0), side) for value in box]))
    # So many tries find a face wherever it is: at least one of 85 x 85 places (scale 0.3 of 120 pixels) shows it.
    assert counts_inside <= counts_at_all and (tries < 10**5 or counts_inside == counts_at_all)
    assert after['gt_bboxes_labels'].tolist() == [i for i, _, _ in kept]
    assert after['gt_ignore_flags'].tolist() == [ignored for _, ignored, _ in kept]
    assert after['gt_bboxes'].tensor.tolist() == [box for _, _, box in kept]
    assert after['gt_bboxes'].tensor.shape == (len(kept), 4)


def test_left_and_top_are_inside_right_and_bottom_are_not():
    centres = [(0, 25), (25, 0), (49.5, 49.5), (50, 25), (25, 50), (-0.5, 25)]
    after = SquareCrop((1.0,))(sample(50, 50, [[x - 2, y - 2, x + 2, y + 2] for x, y in centres]))
    assert after['gt_bboxes_labels'].tolist() == [0, 1, 2]


def test_scales_and_places_are_uniform_without_faces():
    np.random.seed(0)
    crop = SquareCrop()
    found = []
    for _ in range(2000):
        image = crop(sample(100, 140, []))['img']
        found.append((len(image), *image[0, 0, :2]))
    sides, tops, lefts = np.array(found).T
    assert sorted(set(sides)) == [30, 45, 60, 80, 100]
    for side in set(sides):
        chosen = sides == side
        assert abs(chosen.mean() - 0.2) < 0.04
        for places, room in ((tops, 100 - side), (lefts, 140 - side)):
            assert abs(places[chosen].mean() - room / 2) < 0.06 * room + 1e-9
            assert places[chosen].min() <= 0.05 * room and places[chosen].max() >= 0.95 * room


def crop_by_hand(size, centre, generator):
    """Side and left top corner of a crop of a picture with one face: one scale, then up to 250 places, one by one."""
    width, height = size
    side = round(SCALES[generator.integers(5)] * min(size))
    for _ in range(250):
        left, top = generator.integers(width - side + 1), generator.integers(height - side + 1)
        if left <= centre[0] < left + side and top <= centre[1] < top + side:
            break
    return side, left, top


def test_every_scale_gets_its_fifth_and_places_are_those_of_tries_one_by_one():
    """On pictures with one small face off the middle, which a square of scale 0.3 shows once in thirty tries."""
    size, centre = (200, 100), (20, 11)
    np.random.seed(0)
    crop, generator = SquareCrop(), np.random.default_rng(0)
    picture = sample(size[1], size[0], [[centre[0] - 2, centre[1] - 2, centre[0] + 2, centre[1] + 2]])
    found = []
    for _ in range(2000):
        image = crop(dict(picture))['img']
        found.append((len(image), image[0, 0, 1], image[0, 0, 0]))
    found, expected = np.array(found), np.array([crop_by_hand(size, centre, generator) for _ in range(2000)])
    for side in (30, 45, 60, 80, 100):
        chosen, by_hand = found[found[:, 0] == side], expected[expected[:, 0] == side]
        assert abs(len(chosen) / 2000 - 0.2) < 0.04
        np.testing.assert_allclose(chosen.mean(0), by_hand.mean(0), atol=2)
        np.testing.assert_allclose(chosen.std(0), by_hand.std(0), atol=2)


def test_a_scale_that_never_shows_the_face_keeps_its_share_and_the_last_place():
    """Squares of 30 show the face in the corner at one of 971 x 971 places, so two tries hardly ever do."""
    np.random.seed(0)
    crop = SquareCrop((0.03, 1.0), tries=2)
    picture = sample(1000, 1000, [[0, 0, 1, 1]])
    places, kept = {30: set(), 1000: set()}, []
    for _ in range(400):
        results = crop(dict(picture))
        places[len(results['img'])].add(tuple(results['img'][0, 0, :2]))
        kept.append((len(results['img']), len(results['gt_bboxes'])))
    assert set(kept) == {(30, 0), (1000, 1)}
    assert abs(kept.count((30, 0)) / 400 - 0.5) < 0.08
    assert len(places[30]) > 150  # any place, not one near the face


def test_ignored_faces_move_along_but_attract_no_crop():
    np.random.seed(0)
    crop = SquareCrop((0.3,))
    faces = [[0, 0, 10, 10], [85, 85, 95, 95]]
    labels = [crop(sample(100, 100, faces, [True, False]))['gt_bboxes_labels'].tolist() for _ in range(100)]
    assert labels == [[1]] * 100
    kept = [crop(sample(100, 100, [[40, 40, 60, 60]], [True]))['gt_ignore_flags'].tolist() for _ in range(100)]
    assert [] in kept and [True] in kept


def test_draws_follow_numpys_seed_and_not_the_pixels():
    crop = SquareCrop()
    results = []
    for fill in (0, 255):
        np.random.seed(3)
        before = sample(90, 120, [[30, 40, 50, 60]])
        before['img'] = np.full((90, 120), fill, np.uint8)
        after = crop(before)
        results.append((after['img_shape'], after['gt_bboxes'].tensor.tolist(), np.random.randint(10**9)))
    assert results[0] == results[1]


@pytest.mark.parametrize(
    'settings, message',
    [
        (dict(scales=()), r'found scales=\(\), expected at least one'),
        (dict(scales=(0.5, 0)), 'above 0 and at most 1'),
        (dict(scales=[1.5]), r'found scales=\[1.5\]'),
        (dict(tries=0), 'found tries=0, expected at least 1'),
    ],
)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        SquareCrop(**settings)


def test_is_registered():
    assert TRANSFORMS.build(dict(type='SquareCrop', scales=(0.5,))).scales == (0.5,)
