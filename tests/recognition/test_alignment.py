"""Alignment against known transforms, brute-force least squares and SciPy's interpolation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates
from skimage.data import astronaut

from askd_mmdet.recognition.alignment import BOX_RISE, BOX_SIDE, TEMPLATE, align, align_box, alignment_matrix

# Of the astronaut's face, as MTCNN finds them.
LANDMARKS = np.array([(205.0, 101.7), (246.8, 103.7), (224.7, 129.0), (201.7, 139.2), (245.3, 141.9)])


def similarity(angle, scale, x, y):
    c, s = scale * np.cos(angle), scale * np.sin(angle)
    return np.array([[c, -s, x], [s, c, y]])


def move(matrix, points):
    return points @ matrix[:, :2].T + matrix[:, 2]


def brute_force(points, target):
    """Least squares for a, b, x, y in (ax - by + x, bx + ay + y), written out as ten equations."""
    rows, values = [], []
    for (px, py), (qx, qy) in zip(points, target):
        rows += [(px, -py, 1, 0), (py, px, 0, 1)]
        values += [qx, qy]
    a, b, x, y = np.linalg.lstsq(np.array(rows), np.array(values), rcond=None)[0]
    return np.array([[a, -b, x], [b, a, y]])


@given(st.floats(-np.pi, np.pi), st.floats(0.05, 20), st.floats(-500, 500), st.floats(-500, 500), st.integers(16, 256))
def test_a_known_similarity_is_undone(angle, scale, x, y, size):
    landmarks = move(similarity(angle, scale, x, y), TEMPLATE)
    matrix = alignment_matrix(landmarks, size)
    np.testing.assert_allclose(move(matrix, landmarks), TEMPLATE * size / 112, atol=1e-6)


@given(st.lists(st.floats(0, 300), min_size=10, max_size=10).map(lambda v: np.reshape(v, (5, 2))))
def test_it_is_the_least_squares_solution(landmarks):
    # Noise around a face: no reflection and no degenerate face.
    landmarks = TEMPLATE * 3 + landmarks / 4
    np.testing.assert_allclose(alignment_matrix(landmarks), brute_force(landmarks, TEMPLATE), atol=1e-8)


def test_pixels_are_those_of_the_inverse_transform():
    """Every pixel of a crop is the picture at the place that the inverse transform sends it to, interpolated."""
    image = astronaut()
    crop = align(image, LANDMARKS, 64)
    matrix = np.vstack([brute_force(LANDMARKS, TEMPLATE * 64 / 112), (0, 0, 1)])
    x, y = move(np.linalg.inv(matrix)[:2], np.argwhere(np.ones((64, 64)))[:, ::-1]).T
    expected = [map_coordinates(image[..., c].astype(float), (y, x), order=1).reshape(64, 64) for c in range(3)]
    difference = np.abs(crop - np.stack(expected, 2))
    # OpenCV rounds places to 1/32 pixel.
    assert difference.mean() < 0.5 and difference.max() < 8


def test_a_face_at_the_template_is_the_crop_itself():
    image = np.random.default_rng(0).integers(0, 256, (112, 112, 3), np.uint8)
    np.testing.assert_array_equal(align(image, TEMPLATE), image)
    np.testing.assert_array_equal(align(image[..., 0], TEMPLATE), image[..., 0])


def test_beyond_the_border_it_is_black():
    landmarks = TEMPLATE - TEMPLATE.min(0)  # the face begins at the corner of the picture
    crop = align(np.full((112, 112, 3), 200, np.uint8), landmarks)
    assert (crop[52:, 39:] == 200).all() and (crop[:51] == 0).all() and (crop[:, :38] == 0).all()


@pytest.mark.parametrize(
    'landmarks, message',
    [
        (TEMPLATE[:4], r'landmarks of shape \(4, 2\), expected \(5, 2\)'),
        (TEMPLATE.T, r'landmarks of shape \(2, 5\), expected \(5, 2\)'),
        (TEMPLATE * [np.nan, 1], 'expected finite numbers'),
        (TEMPLATE * [np.inf, 1], 'expected finite numbers'),
        (np.full((5, 2), 7.0), r'all five landmarks are at \(7.0, 7.0\)'),
        (TEMPLATE + (60, 0), 'outside of the image of 120x110 pixels'),
        (TEMPLATE + (0, 20), 'outside of the image of 120x110 pixels'),
        (TEMPLATE - (39, 0), 'outside of the image of 120x110 pixels'),
    ],
)
def test_bad_landmarks_are_refused(landmarks, message):
    with pytest.raises(ValueError, match=message):
        align(np.zeros((110, 120, 3), np.uint8), landmarks)


@pytest.mark.parametrize('shape', [(0, 112, 3), (112,), (1, 112, 112, 3)])
def test_bad_images_are_refused(shape):
    with pytest.raises(ValueError, match='found an image of shape'):
        align(np.zeros(shape, np.uint8), TEMPLATE)


def test_a_size_without_pixels_is_refused():
    with pytest.raises(ValueError, match='found size=0'):
        align(np.zeros((112, 112), np.uint8), TEMPLATE, 0)


def test_a_box_is_framed_by_a_square_of_its_size_above_its_middle():
    """A box whose square is 112 pixels wide and begins at a whole pixel: the crop is a piece of the picture."""
    side = 112 / BOX_SIDE
    for width, height in ((side, side), (side / 1.5, side * 1.5)):
        middle = np.array([70 + 56, 30 + 56 + BOX_RISE * height])
        half = np.array([width, height]) / 2
        crop = align_box(astronaut(), (*(middle - half), *(middle + half)))
        np.testing.assert_array_equal(crop, astronaut()[30:142, 70:182])


def test_a_box_puts_the_landmarks_of_an_upright_face_near_the_template():
    """The astronaut's box, drawn by eye from hair line to chin; each landmark is a bright spot of its own."""
    spots = np.zeros((5, 512, 512), np.uint8)
    for spot, (x, y) in zip(spots, LANDMARKS.round().astype(int)):
        spot[y - 2 : y + 3, x - 2 : x + 3] = 255
    found = [np.argwhere(align_box(spot, (182, 62, 268, 178)) > 127).mean(0)[::-1] for spot in spots]
    assert np.linalg.norm(found - TEMPLATE, axis=1).mean() < 7  # of 112 pixels


@pytest.mark.parametrize('box', [(5, 5, 5, 9), (5, 9, 9, 9), (9, 5, 5, 9), (5, 5, np.nan, 9), (5, 5, np.inf, 9)])
def test_boxes_without_an_area_are_refused(box):
    with pytest.raises(ValueError, match='expected x1 < x2 and y1 < y2'):
        align_box(astronaut(), box)
    with pytest.raises(ValueError, match='found an image of shape'):
        align_box(astronaut()[:0], (5, 5, 9, 9))
