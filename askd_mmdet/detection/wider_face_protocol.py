"""The official WIDER FACE protocol: average precision on the easy, medium and hard faces (table 5)."""

import re
from collections import Counter
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np

from askd_mmdet.detection.mat_file import read_mat

SETTINGS = ('easy', 'medium', 'hard')
IOU_THRESHOLD = 0.5
# No JPEG is wider or higher than this, in pixels: a box beyond it is in no picture, and comes of a damaged file.
FURTHEST = 65_535
# Event and file, without control characters, damaged bytes and the dot of a hidden file.
_PART = r'(?!\.)[ -.0-~\xa0-\ufffc\U00010000-\U0010ffff]+'
IMAGE_NAME = re.compile(f'{_PART}/{_PART}')
_COUNT = 1000
# The official evaluator's very floats, so that a score on a threshold falls on the same side of it.
_THRESHOLDS = 1 - np.arange(1, _COUNT + 1) / _COUNT
# Overlaps that are held at once (float64, so 8 MiB for each of a few temporary arrays).
_CHUNK = 2**20
# Images that are counted at once.
_IMAGES = 64


class Faces(NamedTuple):
    """The ground truth of an image.

    Attributes:
        boxes: float64, (N, 4), x, y, width, height in pixels; some have no width or height.
        kept: bool, (N, 3), which faces count in the easy, medium and hard setting.
    """

    boxes: np.ndarray
    kept: np.ndarray


class Matches(NamedTuple):
    """What the protocol needs to know of the detections in an image: nine bytes for each.

    Attributes:
        scores: float64, (N,).
        flags: uint8, (N,), bit i: counts as a proposal in setting i, bit 3 + i: finds a face in it.
    """

    scores: np.ndarray
    flags: np.ndarray


class Curve(NamedTuple):
    """Recall and precision at the protocol's 1000 thresholds, from the highest on: float64 (1000,), in [0, 1].

    No proposal has no precision, and no face no recall: both are 0 then.
    """

    recall: np.ndarray
    precision: np.ndarray

    @property
    def average_precision(self) -> float:
        """See :func:`average_precision`."""
        return average_precision(*self)


def load_ground_truth(folder: str | Path) -> dict[str, Faces]:
    """Read the .mat files of the official `eval_tools/ground_truth`.

    Args:
        folder: Where wider_face_val.mat and wider_{easy,medium,hard}_val.mat are.

    Returns:
        The faces of every image, by its name `event/stem`, in the order of the files.

    Raises:
        FileNotFoundError: When one of the four files is missing.
        ValueError: When a file is damaged, the files do not fit together, an image comes twice, or
            a box or an index is out of range.
    """
    folder = Path(folder)
    paths = [folder / f'wider_{subset}_val.mat' for subset in ('face', *SETTINGS)]
    missing = [path.name for path in paths if not path.is_file()]
    if missing:
        raise FileNotFoundError(
            f'{folder} has no {", ".join(missing)}; ground_truth should be the folder '
            'eval_tools/ground_truth of the WIDER FACE download (eval_tools.zip)'
        )
    (names, boxes), *subsets = (
        _read_lists(path, key) for path, key in zip(paths, ('face_bbx_list', *['gt_list'] * len(SETTINGS)))
    )
    if names is None:
        raise ValueError(f'{paths[0]} has no event_list and file_list; unpack eval_tools.zip again')
    if len(set(names)) < len(names):
        name, count = Counter(names).most_common(1)[0]
        raise ValueError(f'{paths[0]} has {name} {count} times; unpack eval_tools.zip again')
    for name, box in zip(names, boxes):
        if not (_is_numeric(box) and (box.shape[1] == 4 or box.shape == (0, 0)) and in_reach(box.reshape(-1, 4))):
            raise ValueError(
                f'{paths[0]}: found {_excerpt(box)} as the boxes of {name}, expected x, y, width, height, (N, 4), '
                f'within {FURTHEST} pixels; unpack eval_tools.zip again'
            )
    boxes = [box.astype(np.float64).reshape(-1, 4) for box in boxes]
    kept = [np.zeros((len(box), len(SETTINGS)), bool) for box in boxes]
    for setting, (path, (subset_names, indices)) in enumerate(zip(paths[1:], subsets)):
        # Toy and cut-down ground truths may leave the names out; then the order has to be right.
        if len(indices) != len(names) or subset_names not in (None, names):
            raise ValueError(
                f'{path} lists {len(indices)} images and {paths[0]} {len(names)}, or other ones, or '
                'in another order; take all four files from one download'
            )
        for name, faces, chosen in zip(names, kept, indices):
            # 1-based, as Matlab counts; an image none of whose faces counts has 0x0 or 0x1 of them.
            known = np.arange(len(faces)) + 1
            if not (_is_numeric(chosen) and min(chosen.shape) <= 1 and np.isin(chosen, known).all()):
                raise ValueError(
                    f'{path}: {name} keeps faces {_excerpt(chosen)}, but {paths[0]} has faces 1 to {len(faces)} there; '
                    'take all four files from one download'
                )
            faces[:, setting] = np.isin(known, chosen)
            if faces[:, setting].sum() != chosen.size:
                raise ValueError(f'{path}: {name} keeps a face twice: {_excerpt(chosen)}; unpack eval_tools.zip again')
    return {name: Faces(*faces) for name, *faces in zip(names, boxes, kept)}


def in_reach(boxes: np.ndarray) -> bool:
    """Whether boxes (N, 4), x, y, width, height, are finite and no corner lies further out than `FURTHEST`."""
    start = boxes[:, :2].astype(np.float64)
    # What is not a number makes the least and the greatest none either.
    return all(-FURTHEST <= x.min(initial=0) <= x.max(initial=0) <= FURTHEST for x in (start, start + boxes[:, 2:]))


def _is_numeric(value):
    return isinstance(value, np.ndarray) and value.dtype != object


def _excerpt(value):
    return ' '.join(np.array2string(np.asarray(value), threshold=9).split())


def _read_lists(path, key):
    """The names of the images, or None where the file has none, and for each image what `key` lists, of any type."""
    try:
        mat = read_mat(path.read_bytes(), ('event_list', 'file_list', key))
        values = [_column(event, key) for event in _column(mat.get(key), key)]
        everything = [value for event in values for value in event]
        if not mat.keys() & {'event_list', 'file_list'}:
            return None, everything
        events = _column(mat.get('event_list'), 'event_list')
        stems = [_column(event, 'file_list') for event in _column(mat.get('file_list'), 'file_list')]
        if not (len(events) == len(stems) and [*map(len, stems)] == [*map(len, values)]):
            raise ValueError(
                f'{len(events)} events in event_list, {sum(map(len, stems))} images of {len(stems)} events in '
                f'file_list, {len(everything)} of {len(values)} in {key}, or other numbers of images in an event'
            )
        names = [f'{event}/{stem}' for event, images in zip(events, stems) for stem in images]
        strange = [name for name in names if not IMAGE_NAME.fullmatch(name)]
        if strange or not all(isinstance(name, str) for name in chain(events, *stems)):
            raise ValueError(f'names that are no event/name: {strange[:5]}')
        return names, everything
    except ValueError as error:
        raise ValueError(f'{path} is no ground truth of WIDER FACE ({error}); unpack eval_tools.zip again') from error


def _column(cells, name):
    if not (isinstance(cells, np.ndarray) and cells.dtype == object and (cells.shape[1] == 1 or not cells.size)):
        raise ValueError(f'{name} is no column of cells' if cells is not None else f'no {name}')
    return cells.ravel().tolist()


def match_detections(
    boxes: np.ndarray, scores: np.ndarray, faces: np.ndarray, kept: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Match the detections of an image to its faces, best score first.

    A detection belongs to the face of highest IoU, the first of equals, when that is 0.5 or more.
    It is a hit when that face counts and no better detection belongs to it. It is a proposal unless
    its face is ignored. In an image without a face nothing is either, as the official evaluator
    leaves such an image out.

    Args:
        boxes: Detections, (N, 4), x, y, width, height in pixels.
        scores: (N,).
        faces: (M, 4), x, y, width, height in pixels.
        kept: bool, (M, S), which faces count in each of S settings.

    Returns:
        Which detections are proposals and which are hits: bool, (N, S) each.
    """
    count, settings = len(boxes), kept.shape[1]
    if not (count and len(faces)):
        return np.zeros((count, settings), bool), np.zeros((count, settings), bool)
    face, overlap = best_faces(boxes, faces)
    matched = overlap >= IOU_THRESHOLD
    counted = kept[face]

    order = np.argsort(-scores, kind='stable')
    order = order[matched[order]]
    first = np.zeros(count, bool)
    first[order[np.unique(face[order], return_index=True)[1]]] = True
    return counted | ~matched[:, None], counted & first[:, None]


def best_faces(boxes, faces):
    """For every box the face of highest IoU, and that IoU, int and float64 (N,).

    Pixels count as in the official evaluator: a box covers the one at its right and lower end too.
    """
    left, top, width, height = np.ascontiguousarray(faces.T)
    right, bottom = left + width, top + height
    area = (width + 1) * (height + 1)
    best, overlap = np.empty(len(boxes), np.intp), np.empty(len(boxes))
    step = max(1, _CHUNK // len(faces))
    for start in range(0, len(boxes), step):
        chunk = slice(start, start + step)
        x, y, w, h = boxes[chunk].T[..., None]
        inner_width = np.minimum(x + w, right) - np.maximum(x, left) + 1
        inner_height = np.minimum(y + h, bottom) - np.maximum(y, top) + 1
        inner = inner_width.clip(0) * inner_height.clip(0)
        # Boxes of negative size overlap nothing, though their union may be 0.
        iou = np.divide(inner, (w + 1) * (h + 1) + area - inner, out=np.zeros(inner.shape), where=inner > 0)
        best[chunk] = iou.argmax(1)
        overlap[chunk] = iou.max(1)
    return best, overlap


def match_image(ground_truth: dict[str, Faces], name: str, boxes: np.ndarray, scores: np.ndarray) -> Matches:
    """Match the detections of an image of the ground truth, see :func:`match_detections`.

    Args:
        ground_truth: See :func:`load_ground_truth`.
        name: `event/stem`.
        boxes: (N, 4), x, y, width, height in pixels.
        scores: (N,), any finite numbers.

    Raises:
        ValueError: When the ground truth has no such image, or a score or box is not finite.
    """
    if name not in ground_truth:
        raise ValueError(
            f'{name} is not among the {len(ground_truth)} images of the ground truth; '
            'evaluate the split that the ground truth belongs to (the official one: val)'
        )
    # The scores are kept: as a view they would keep a table of boxes, too.
    boxes, scores = np.asarray(boxes, np.float64), np.array(scores, np.float64)
    broken = ~(np.isfinite(scores) & np.isfinite(boxes).all(1))
    if broken.any():
        raise ValueError(
            f'{name}: {broken.sum()} of {len(scores)} detections have a score or box that is NaN or infinite; '
            'the detector has diverged or divides by 0'
        )
    proposals, hits = match_detections(boxes, scores, *ground_truth[name])
    return Matches(scores, np.packbits(np.hstack([proposals, hits]), axis=1, bitorder='little')[:, 0])


@dataclass
class WiderFaceScore:
    """Average precision of detections that come image by image, of which no box is kept.

    The time is linear in the number of detections but for sorting them within their image.

    >>> face = np.array([[10.0, 10.0, 20.0, 20.0]])
    >>> score = WiderFaceScore({'0--Parade/a': Faces(face, np.array([[False, True, True]]))})
    >>> score.add('0--Parade/a', face, [0.9])
    >>> score.average_precision()
    {'easy': 0.0, 'medium': 1.0, 'hard': 1.0}

    Attributes:
        ground_truth: See :func:`load_ground_truth`.
        images: Matches of every image that has come so far, by its name.
    """

    ground_truth: dict[str, Faces]
    images: dict[str, Matches] = field(default_factory=dict)

    def add(self, name: str, boxes: np.ndarray, scores: np.ndarray) -> None:
        """Take the detections of an image; see :func:`match_image` for arguments and errors."""
        self.images[name] = match_image(self.ground_truth, name, boxes, scores)

    @property
    def missing(self) -> list[str]:
        """Images of the ground truth that have not come."""
        return [name for name in self.ground_truth if name not in self.images]

    def average_precision(self) -> dict[str, float]:
        """AP in [0, 1] of the easy, medium and hard setting; 0 where a setting has no face."""
        return {setting: curve.average_precision for setting, curve in self.curves().items()}

    def curves(self) -> dict[str, Curve]:
        """Recall and precision in the easy, medium and hard setting.

        The scores are first stretched to [0, 1] over all images (all to 1 where they are equal).
        Faces in images that have not come are missed.
        """
        faces = np.sum([faces.kept.sum(0) for faces in self.ground_truth.values()], axis=0)
        proposals, hits = np.split(self._counts(), 2, axis=1)
        precision = hits / proposals.clip(1)
        recall = hits / np.clip(faces, 1, None)
        return {setting: Curve(*curve) for setting, *curve in zip(SETTINGS, recall.T, precision.T)}

    def _counts(self):
        """Detections with each flag at every threshold: int64, (1000, 6)."""
        histogram = np.zeros((_COUNT, 64), np.int64)
        images = [matches for matches in self.images.values() if len(matches.scores)]
        lowest = min((scores.min() for scores, _ in images), default=0)
        highest = max((scores.max() for scores, _ in images), default=0)
        for start in range(0, len(images), _IMAGES):
            scores, flags = map(np.concatenate, zip(*images[start : start + _IMAGES]))
            scores = (scores - lowest) / (highest - lowest) if highest > lowest else np.ones_like(scores)
            # The first threshold that the score reaches.
            reached = _COUNT - np.searchsorted(_THRESHOLDS[::-1], scores, side='right')
            histogram += np.bincount(64 * reached + flags, minlength=histogram.size).reshape(histogram.shape)
        bits = np.unpackbits(np.arange(64, dtype=np.uint8)[:, None], axis=1, count=6, bitorder='little')
        return (histogram @ bits).cumsum(0)


def average_precision(recall: np.ndarray, precision: np.ndarray) -> float:
    """Area under the envelope of a precision-recall curve, at all its points (PASCAL VOC 2010).

    Args:
        recall: (N,), in [0, 1], ascending.
        precision: (N,), in [0, 1].

    >>> average_precision(np.array([0.5, 0.5, 1.0]), np.array([1.0, 0.5, 0.75]))
    0.875
    """
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall, prepend=0) * envelope))
