"""Faces in pictures: framed, cut out, or hidden. Pure functions over BGR arrays uint8 (H, W, 3) and boxes (N, 4)."""

import cv2
import numpy as np

from askd_mmdet.training.settings import check_choice, check_number

COLOUR = (0, 220, 0)
# Cells along the longer side of what is pixelated: a face is some three of them wide, too few to be recognised by.
CELLS = 4
# Of a face's width and height, that crops and hidden areas reach beyond its box on each side.
CROP_MARGIN, BLUR_MARGIN = 0.3, 0.2
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_LEAST_HEIGHT = 10  # of a face with a score, in pixels: no text that can be read is smaller


def pixels(box: np.ndarray, shape: tuple[int, int], margin: float = 0) -> tuple[slice, slice]:
    """Rows and columns of all pixels that a box touches, within the picture; at least one of each.

    Args:
        box: x1, y1, x2, y2.
        shape: Height and width of the picture.
        margin: Of the box's width and height, to add on each side, >= 0.

    Example:
        >>> pixels((2.5, 0, 4, 3), (5, 9))
        (slice(0, 3, None), slice(2, 4, None))
    """
    x1, y1, x2, y2 = np.float64(box)
    around = margin * (x2 - x1), margin * (y2 - y1)
    spans = ((y1 - around[1], y2 + around[1], shape[0]), (x1 - around[0], x2 + around[0], shape[1]))
    rows, columns = (
        slice(first := int(np.clip(np.floor(low), 0, length - 1)), max(int(min(np.ceil(high), length)), first + 1))
        for low, high, length in spans
    )
    return rows, columns


def draw_faces(image: np.ndarray, boxes: np.ndarray, scores: np.ndarray | None = None) -> np.ndarray:
    """A copy with a frame around each face, and its score in % where there is room for it beside the faces.

    Frames lie outside their boxes and are thinner on smaller faces, so that they hide none.
    """
    drawn = image.copy()
    for box in boxes:
        rows, columns = pixels(box, image.shape[:2])
        width = line_width(box)
        top, bottom, left, right = rows.start - width, rows.stop + width, columns.start - width, columns.stop + width
        outer_rows, outer_columns = slice(max(top, 0), bottom), slice(max(left, 0), right)
        drawn[max(top, 0) : rows.start, outer_columns] = COLOUR
        drawn[rows.stop : bottom, outer_columns] = COLOUR
        drawn[outer_rows, max(left, 0) : columns.start] = COLOUR
        drawn[outer_rows, columns.stop : right] = COLOUR
    if scores is not None:
        write_scores(drawn, boxes, scores)
    return drawn


def write_scores(image: np.ndarray, boxes: np.ndarray, scores: np.ndarray, others: np.ndarray = ()) -> None:
    """Write scores in % into a picture, each where there is room for it beside all boxes; small faces get none.

    Args:
        image: It is changed.
        boxes: (N, 4), x1, y1, x2, y2.
        scores: (N,), in [0, 1].
        others: (M, 4), further boxes that are not to be hidden.
    """
    taken = np.vstack([np.float32(each).reshape(-1, 4) for each in (boxes, others)])
    for box, score in zip(boxes, scores):
        if box[3] - box[1] < _LEAST_HEIGHT:
            continue
        text, scale = f'{100 * score:.0f}', np.clip((box[3] - box[1]) / 100, 0.4, 1.2)
        thickness = max(1, round(1.5 * scale))
        (width, height), base = cv2.getTextSize(text, _FONT, scale, thickness)
        if place := _free_place(box, (width + 2, height + base), taken, image.shape[:2]):
            left, top = place
            taken = np.vstack([taken, np.float32([left, top, left + width + 2, top + height + base])])
            image[top : top + height + base, left : left + width + 2] = 0
            origin = left + 1, top + height + base // 2
            cv2.putText(image, text, origin, _FONT, scale, (255, 255, 255), thickness, cv2.LINE_AA)


def line_width(box: np.ndarray) -> int:
    """Pixels: one for faces of less than 75, then a fiftieth of the shorter side."""
    return max(1, round(min(box[2] - box[0], box[3] - box[1]) / 50))


def _free_place(box, size, taken, shape):
    """The corner (left, top) of a text of some size (width, height) beside a box, or None where all is full."""
    width, height = size
    gap = line_width(box) + 1
    x1, y1 = np.floor(box[:2]).astype(int).tolist()
    x2, y2 = np.ceil(box[2:]).astype(int).tolist()
    above, below, before, behind = y1 - gap - height, y2 + gap, x1 - gap - width, x2 + gap
    for left, top in ((x1, above), (x1, below), (behind, y1), (before, y1), (x2 - width, above), (x2 - width, below)):
        inside = left >= 0 and top >= 0 and left + width <= shape[1] and top + height <= shape[0]
        apart = (taken[:, 0] >= left + width) | (taken[:, 2] <= left) | (taken[:, 1] >= top + height)
        if inside and (apart | (taken[:, 3] <= top)).all():
            return left, top
    return None


def crop_face(image: np.ndarray, box: np.ndarray, margin: float = CROP_MARGIN) -> np.ndarray:
    """A copy of a face with some of what is around it, as far as the picture goes.

    Args:
        image: The picture.
        box: x1, y1, x2, y2.
        margin: Of the box's width and height, to add on each side, >= 0.
    """
    check_number('crop_face', 'margin', margin, at_least=0)
    return image[pixels(box, image.shape[:2], margin)].copy()


def hide_faces(image: np.ndarray, boxes: np.ndarray, how: str = 'pixelate', margin: float = BLUR_MARGIN) -> np.ndarray:
    """A copy in which nobody recognises the faces.

    Args:
        image: The picture.
        boxes: (N, 4).
        how: 'pixelate' leaves the mean colours of `CELLS` cells along the longer side; 'fill' leaves nothing.
        margin: Of a box's width and height, to hide beyond it on each side, >= 0.
    """
    check_choice('hide_faces', 'how', how, ('pixelate', 'fill'))
    check_number('hide_faces', 'margin', margin, at_least=0)
    hidden = image.copy()
    for box in boxes:
        area = pixels(box, image.shape[:2], margin)
        hidden[area] = 0 if how == 'fill' else pixelate(hidden[area])
    return hidden


def pixelate(image: np.ndarray, cells: int = CELLS) -> np.ndarray:
    """A picture of the mean colours of square cells, as many along its longer side; the last may be narrower."""
    height, width = image.shape[:2]
    side = -(-max(height, width) // cells)
    rows, columns = np.arange(0, height, side), np.arange(0, width, side)
    sums = np.add.reduceat(np.add.reduceat(image.astype(np.float64), rows), columns, axis=1)
    counts = np.outer(np.diff([*rows, height]), np.diff([*columns, width]))
    means = np.rint(sums / counts[..., None]).astype(np.uint8)
    return means.repeat(side, 0)[:height].repeat(side, 1)[:, :width]
