"""What is drawn, cut out and hidden, pixel by pixel."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from askd_mmdet.detection.drawing import crop_face, draw_faces, hide_faces, line_width, pixelate, pixels


def noise(height=120, width=160, seed=0):
    return np.random.default_rng(seed).integers(1, 256, (height, width, 3), np.uint8)


def changed(before, after):
    """Where two pictures differ, bool (H, W)."""
    return (before != after).any(2)


def boxes_of(*boxes):
    return np.float32(boxes).reshape(-1, 4)


@pytest.mark.parametrize('box', [(40, 30, 48, 41), (40.3, 30.2, 47.5, 40.7), (30, 20, 130, 110), (0, 0, 160, 120)])
def test_a_frame_hides_nothing_of_its_face(box):
    image = noise()
    drawn = draw_faces(image, boxes_of(box), np.float32([0.987]))
    touched = changed(image, drawn)
    x1, y1, x2, y2 = np.array([*np.floor(box[:2]), *np.ceil(box[2:])], int)
    assert not touched[y1:y2, x1:x2].any()
    width = line_width(np.float32(box))
    frame = np.zeros_like(touched)
    frame[max(y1 - width, 0) : y2 + width, max(x1 - width, 0) : x2 + width] = True
    frame[y1:y2, x1:x2] = False
    assert touched[frame].all() and (drawn[frame] == (0, 220, 0)).all()


def test_lines_grow_with_faces():
    assert [line_width(np.float32([0, 0, side, 2 * side])) for side in (5, 74, 100, 400)] == [1, 1, 2, 8]


def test_scores_hide_no_face_and_stay_away_where_there_is_no_room():
    boxes = boxes_of(*[(4 + 30 * i, 20 + 36 * j, 24 + 30 * i, 44 + 36 * j) for i in range(5) for j in range(3)])
    image = noise()
    framed, scored = draw_faces(image, boxes), draw_faces(image, boxes, np.linspace(1, 0.3, 15))
    text = changed(framed, scored)
    assert text.any()
    for box in boxes:
        assert not text[pixels(box, image.shape[:2])].any()
    tiny = boxes_of((80, 60, 86, 69))
    assert np.array_equal(draw_faces(image, tiny, np.float32([0.9])), draw_faces(image, tiny))
    full = boxes_of((0, 0, 160, 120))
    assert np.array_equal(draw_faces(image, full, np.float32([0.9])), draw_faces(image, full))


def test_scores_can_be_read():
    """White on black of at least 8 pixels, the digits that OpenCV draws there."""
    image = noise()
    box = boxes_of((60, 50, 90, 80))
    text = changed(draw_faces(image, box), drawn := draw_faces(image, box, np.float32([0.87])))
    rows, columns = np.nonzero(text)
    label = drawn[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    assert label.shape[0] >= 10 and label.max() > 200
    assert rows.max() < 50  # above the face
    expected = np.zeros_like(label)
    (_, height), base = cv2.getTextSize('87', cv2.FONT_HERSHEY_SIMPLEX, 0.4, 1)
    cv2.putText(expected, '87', (1, height + base // 2), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (255,) * 3, 1, cv2.LINE_AA)
    assert np.array_equal(label, expected)


def test_the_picture_itself_stays_as_it_is():
    image, box = noise(), boxes_of((60, 50, 90, 80))
    before = image.copy()
    crop = crop_face(image, box[0])
    for made in (draw_faces(image, box, np.float32([1])), hide_faces(image, box), crop):
        made[:] = 0
    assert np.array_equal(image, before)
    for made in (draw_faces(image, boxes_of(), np.zeros(0)), hide_faces(image, boxes_of())):
        assert np.array_equal(image, made)


def test_a_crop_has_its_margin_as_far_as_the_picture_goes():
    image = noise()
    assert np.array_equal(crop_face(image, np.float32([60, 50, 80, 90]), 0.25), image[40:100, 55:85])
    assert np.array_equal(crop_face(image, np.float32([60, 50, 80, 90]), 0), image[50:90, 60:80])
    assert np.array_equal(crop_face(image, np.float32([-3, 100, 20, 120]), 0.5), image[90:, :32])
    assert crop_face(image, np.float32([160, 120, 160, 120])).shape == (1, 1, 3)
    with pytest.raises(ValueError, match='margin=-1'):
        crop_face(image, np.float32([0, 0, 9, 9]), -1)


def covered(box, margin, shape):
    """Every pixel that has a point within the box and its margin, by testing each."""
    x1, y1, x2, y2 = box
    dx, dy = margin * (x2 - x1), margin * (y2 - y1)
    y, x = np.mgrid[: shape[0], : shape[1]]
    return (x + 1 > x1 - dx) & (x < x2 + dx) & (y + 1 > y1 - dy) & (y < y2 + dy)


@pytest.mark.parametrize('how', ['pixelate', 'fill'])
@given(st.floats(-20, 150), st.floats(-20, 110), st.floats(3, 90), st.floats(3, 90), st.sampled_from([0, 0.2, 0.5]))
def test_nothing_of_a_hidden_face_remains(how, x, y, width, height, margin):
    """What is covered depends on the picture by sixteen mean colours at most, or not at all; the rest is as it was."""
    box = np.float32([x, y, x + width, y + height])
    image = noise()
    mask = covered(box.astype(float), margin, image.shape[:2])
    if not mask.any():
        return
    hidden = hide_faces(image, boxes_of(box), how, margin)
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    assert np.array_equal(hidden[~mask], image[~mask])
    colours = np.unique(hidden[mask], axis=0)
    if how == 'fill':
        assert colours.tolist() == [[0, 0, 0]]
        return
    assert len(colours) <= 16
    # Each cell is even: no pixel differs from its neighbour within it.
    area = hidden[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].astype(int)
    for axis in (0, 1):
        steps = np.abs(np.diff(area, axis=axis)).sum(2).any(1 - axis)
        assert steps.sum() <= 4


def test_pixels_that_are_moved_within_a_cell_leave_no_trace():
    image = noise(64, 64)
    shuffled = image.copy()
    generator = np.random.default_rng(1)
    for i in range(4):
        for j in range(4):
            cell = shuffled[16 * i : 16 * i + 16, 16 * j : 16 * j + 16]
            cell[:] = generator.permutation(cell.reshape(-1, 3)).reshape(cell.shape)
    assert not np.array_equal(image, shuffled) and np.array_equal(pixelate(image), pixelate(shuffled))
    cells = pixelate(image).reshape(4, 16, 4, 16, 3)
    assert cells.var((1, 3)).max() == 0
    means = image.reshape(4, 16, 4, 16, 3).mean((1, 3))
    assert np.abs(cells[:, 0, :, 0] - means).max() <= 0.5


@pytest.mark.parametrize('shape', [(1, 1), (2, 7), (7, 2), (3, 3), (5, 9), (100, 33)])
def test_pixelated_pictures_of_all_sizes(shape):
    image = noise(*shape)
    made = pixelate(image)
    assert made.shape == image.shape and made.dtype == np.uint8
    assert len(np.unique(made.reshape(-1, 3), axis=0)) <= 16
    assert np.abs(made.mean((0, 1)) - image.mean((0, 1))).max() <= 0.51


def test_overlapping_faces_are_both_hidden():
    image = noise()
    boxes = boxes_of((30, 30, 70, 70), (50, 50, 90, 90))
    hidden = hide_faces(image, boxes)
    for box in boxes:
        area = hidden[pixels(box, image.shape[:2], 0.2)]
        assert len(np.unique(area.reshape(-1, 3), axis=0)) <= 32
    with pytest.raises(ValueError, match="how='smear'"):
        hide_faces(image, boxes, 'smear')
