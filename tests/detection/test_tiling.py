"""Tiles against a detector that finds bright rectangles, cut ones too, and so knows the truth."""

from itertools import pairwise

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from askd_mmdet.detection.detector import Detections
from askd_mmdet.detection.tiling import detect_tiled, merge, tile_starts


def find_rectangles(images):
    """All bright rectangles but those that would be too small in a network's input; larger ones score higher."""
    found = []
    for image in images:
        _, _, stats, _ = cv2.connectedComponentsWithStats((image[..., 0] > 0).astype(np.uint8))
        x, y, w, h, _ = stats[1:].T
        boxes = np.float32(np.column_stack([x, y, x + w, y + h]))[np.maximum(w, h) >= max(image.shape) / 50]
        scores = np.float32((boxes[:, 2] - boxes[:, 0]) / 2000)
        order = np.argsort(-scores)
        found.append(Detections(boxes[order], scores[order]))
    return found


def picture(width, height, rectangles):
    image = np.zeros((height, width, 3), np.uint8)
    for x1, y1, x2, y2 in rectangles:
        image[y1:y2, x1:x2] = 255
    return image


def found_in(image, **settings):
    return sorted(detect_tiled(find_rectangles, image, **settings).boxes.tolist())


@given(st.integers(1, 3000), st.integers(10, 400), st.floats(0, 0.5))
def test_tiles_cover_a_side_and_share_what_they_should(length, size, overlap):
    shared = round(overlap * size)
    starts = tile_starts(length, size, shared)
    assert starts[0] == 0
    assert starts[-1] + size == length if length > size else len(starts) == 1
    assert all(shared <= a + size - b < size for a, b in pairwise(starts))
    assert len(starts) <= max(1, -(-(length - shared) // (size - shared)))


@pytest.mark.parametrize('shape', [(100, 80), (100, 100), (40, 100)])
def test_one_tile_is_the_whole_picture(shape):
    image = picture(*shape, [(1, 2, 30, 20), (25, 21, 38, 39)])
    calls = []

    def find(images):
        calls.append(images)
        return find_rectangles(images)

    found, (expected,) = detect_tiled(find, image, 100), find_rectangles([image])
    assert np.array_equal(found.boxes, expected.boxes) and np.array_equal(found.scores, expected.scores)
    assert len(calls) == 1 and len(calls[0]) == 1 and calls[0][0] is image


@pytest.mark.parametrize('side', [9, 20, 50])
@pytest.mark.parametrize('offset', range(-60, 61, 5))
def test_a_face_at_the_border_of_tiles_is_found_once(side, offset):
    """Tiles of 200 pixels in 500 begin at 0, 150 and 300; the corner of four of them is somewhere in the face."""
    x, y = 150 + offset, 200 + offset // 2
    box = (x, y, x + side, y + side)
    assert found_in(picture(500, 500, [box]), size=200) == [list(box)]


def test_faces_larger_than_the_overlap_are_found_once():
    boxes = [(100, 120, 330, 400), (360, 10, 440, 300)]
    assert found_in(picture(500, 500, boxes), size=200) == [list(box) for box in boxes]


@given(st.data())
def test_every_face_is_found_once(data):
    """Rectangles of all sizes in the cells of a grid, so that none touches another."""
    boxes = []
    for i, j in data.draw(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 4)), unique=True, max_size=12)):
        w, h, x, y = (data.draw(st.integers(*limits)) for limits in ((8, 80), (8, 80), (0, 15), (0, 15)))
        boxes.append([100 * i + x, 100 * j + y, 100 * i + x + w, 100 * j + y + h])
    assert found_in(picture(700, 500, boxes), size=300) == sorted(boxes)


def test_a_picture_without_faces():
    found = detect_tiled(find_rectangles, picture(500, 300, []), size=200)
    assert found.boxes.shape == (0, 4) and found.scores.shape == (0,)


def test_of_overlapping_detections_the_best_stays():
    first = Detections(np.float32([[0, 0, 10, 10], [50, 0, 60, 10]]), np.float32([0.9, 0.5]))
    second = Detections(np.float32([[51, 0, 61, 10], [0, 6, 10, 16]]), np.float32([0.8, 0.7]))
    merged = merge([first, second])
    # IoU 9 / 11 of the second pair; 4 / 16 of the boxes at the left, both of which stay.
    assert merged.boxes.tolist() == [[0, 0, 10, 10], [51, 0, 61, 10], [0, 6, 10, 16]]
    np.testing.assert_array_equal(merged.scores, np.float32([0.9, 0.8, 0.7]))


@pytest.mark.parametrize(
    'settings', [dict(size=1), dict(size=9.5), dict(size=9, overlap=0.6), dict(size=9, overlap=-1)]
)
def test_bad_settings_are_named(settings):
    with pytest.raises(ValueError, match=r'detect_tiled: found (size|overlap)='):
        detect_tiled(find_rectangles, picture(50, 50, []), **settings)
