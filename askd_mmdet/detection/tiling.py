"""Detection in pictures much larger than the network's input: overlapping tiles, the whole, and one NMS over all."""

from collections.abc import Callable
from itertools import product
from typing import NamedTuple

import numpy as np
import torch
from torchvision.ops import nms

from askd_mmdet.detection.detector import Detections
from askd_mmdet.training.settings import check_number

IOU_THRESHOLD = 0.45  # TinaFace's own
# Of a tile's side. Faces up to this size lie whole in some tile, larger ones are found in the whole picture.
OVERLAP = 0.25
# Of a box's side, within which of a tile's border the box may be that of a face which is cut there.
_NEAR = 0.05


def tile_starts(length: int, size: int, overlap: int) -> list[int]:
    """Where tiles of `size` begin along a side, evenly, so that neighbours share at least `overlap` pixels.

    Example:
        >>> tile_starts(100, 40, 10), tile_starts(30, 40, 10)
        ([0, 30, 60], [0])
    """
    if length <= size:
        return [0]
    count = -(-(length - overlap) // (size - overlap))
    return [round(i * (length - size) / (count - 1)) for i in range(count)]


def detect_tiled(
    detect: Callable[[list[np.ndarray]], list[Detections]], image: np.ndarray, size: int, overlap: float = OVERLAP
) -> Detections:
    """The faces that a detector finds in overlapping tiles of a picture and in the whole of it, each once.

    Args:
        detect: Pictures to their faces, such as the method of a :class:`FaceDetector`.
        image: BGR uint8 (H, W, 3). Where it fits into a tile, this is `detect` alone.
        size: Side of a tile in pixels.
        overlap: Of the size, that neighbours share at least, in [0, 0.5].
    """
    check_number('detect_tiled', 'size', size, whole=True, at_least=2)
    check_number('detect_tiled', 'overlap', overlap, at_least=0, at_most=0.5)
    height, width = image.shape[:2]
    (whole,) = detect([image])
    if max(height, width) <= size:
        return whole
    shared = round(overlap * size)
    tiles = list(product(_spans(height, size, shared), _spans(width, size, shared)))
    found = detect([image[down.start : down.stop, across.start : across.stop] for down, across in tiles])
    large = (whole.boxes[:, 2:] - whole.boxes[:, :2]).max(1, initial=0) > shared / 2
    parts = [Detections(whole.boxes[large], whole.scores[large])]
    for (down, across), (boxes, scores) in zip(tiles, found, strict=True):
        boxes = boxes + np.float32([across.start, down.start] * 2)
        own = across.owns(boxes[:, 0], boxes[:, 2]) & down.owns(boxes[:, 1], boxes[:, 3])
        parts.append(Detections(boxes[own], scores[own]))
    return merge(parts)


class _Span(NamedTuple):
    """A tile along one side of the picture, in pixels: where it is, and the part in which faces are its own."""

    start: int
    stop: int
    first: float
    last: float

    def owns(self, low, high):
        """Which boxes have their centre in the tile's own part and are not cut by its border, (N,)."""
        centre, near = (low + high) / 2, 1 + _NEAR * (high - low)
        cut = ((low - self.start < near) & np.isfinite(self.first)) | (
            (self.stop - high < near) & np.isfinite(self.last)
        )
        return (self.first <= centre) & (centre < self.last) & ~cut


def _spans(length, size, shared):
    starts = tile_starts(length, size, shared)
    stops = [min(start + size, length) for start in starts]
    middles = [(start + stop) / 2 for start, stop in zip(starts[1:], stops)]
    return [_Span(*span) for span in zip(starts, stops, [-np.inf, *middles], [*middles, np.inf])]


def merge(parts: list[Detections], iou_threshold: float = IOU_THRESHOLD) -> Detections:
    """The detections of several parts of one picture, all in its pixels, of which none overlaps a better one."""
    boxes, scores = (np.concatenate(arrays) for arrays in zip(*parts))
    kept = nms(torch.from_numpy(boxes), torch.from_numpy(scores), iou_threshold).numpy()
    return Detections(boxes[kept], scores[kept])
