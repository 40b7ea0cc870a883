"""Detections before and after (fig. 6): found, missed and false ones, in pictures, by the face's size, and in words.

All boxes here are x, y, width, height in pixels of the original picture, as the WIDER FACE protocol has them.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from matplotlib.figure import Figure
from mmengine.config import Config
from mmengine.registry import DATASETS, DefaultScope

from askd_mmdet.analysis.plots import line, panels, runs_legend
from askd_mmdet.analysis.sweep import sampled
from askd_mmdet.detection.detector import FaceDetector
from askd_mmdet.detection.drawing import line_width, write_scores
from askd_mmdet.detection.wider_face_protocol import (
    IOU_THRESHOLD,
    SETTINGS,
    Curve,
    Faces,
    WiderFaceScore,
    best_faces,
    load_ground_truth,
    match_detections,
)
from askd_mmdet.progress import track
from askd_mmdet.training.config import evaluators_of, load_config, type_name
from askd_mmdet.training.files import first_names
from askd_mmdet.training.settings import check_choice, check_number, check_numbers

# A false alarm that overlaps a face by this IoU lies beside it, and is not just background.
BESIDE = 0.1
# Of Okabe and Ito's palette those that are bright enough for lines in photographs, as BGR.
HIT, MISS, FALSE_ALARM = (233, 180, 86), (66, 228, 240), (0, 94, 213)
FACE, IGNORED = (255, 255, 255), (190, 190, 190)
# No frame is smaller, in pixels of the drawing, or its shape could not be told.
_LEAST_FRAME = 11
_GROUND, _TEXT = (40, 40, 40), (255, 255, 255)


class Detections(NamedTuple):
    """What a network found in a picture, in any order.

    Attributes:
        boxes: float64 (N, 4), x, y, width, height in pixels of the picture (a FaceDetector gives corners).
        scores: float64 (N,).
    """

    boxes: np.ndarray
    scores: np.ndarray


class Outcomes(NamedTuple):
    """What became of the detections and the faces of a picture. Each detection is one of three: hit, ignored, false.

    Attributes:
        boxes: float64 (N, 4), the detections from the threshold on, best first.
        scores: float64 (N,).
        hit: bool (N,), which are the best ones of a face that counts.
        ignored: bool (N,), which belong to a face that does not count, or to a picture without a face, and so are
            neither right nor wrong.
        overlap: float64 (N,), IoU of each with its nearest face.
        faces: float64 (M, 4).
        counts: bool (M,), which faces count.
        found: bool (M,), to which of all faces a detection belongs.
    """

    boxes: np.ndarray
    scores: np.ndarray
    hit: np.ndarray
    ignored: np.ndarray
    overlap: np.ndarray
    faces: np.ndarray
    counts: np.ndarray
    found: np.ndarray

    @property
    def false_alarm(self) -> np.ndarray:
        """bool (N,), the detections of no face, and the second ones of a face."""
        return ~self.hit & ~self.ignored

    @property
    def missed(self) -> np.ndarray:
        """bool (M,), the faces that count and are not found."""
        return self.counts & ~self.found

    @property
    def balance(self) -> int:
        """Hits minus false alarms."""
        return int(self.hit.sum() - self.false_alarm.sum())


def pictures_of(cfg: str | Path | Config, count: int | None = None, seed: int = 0) -> dict[str, Path]:
    """The pictures that a face detector is tested on.

    Args:
        cfg: Of the experiment, see FaceDetector.
        count: Draw so many of them; all where there are no more.
        seed: The same seed draws the same.

    Returns:
        Their paths by name, `event/stem`, in the order of the data set.

    Raises:
        FileNotFoundError: When the data are missing.
        ValueError: When the config is not one of a detector, or there is no picture.
    """
    cfg = _detector_config(cfg)
    if count is not None:
        check_number('pictures_of', 'count', count, whole=True, at_least=1)
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope')):
        dataset = DATASETS.build(cfg.test_dataloader.dataset)
    if not len(dataset):
        raise ValueError(f'{cfg.filename or "the config"}: found no test picture')
    numbers = sampled(len(dataset), count, seed)
    paths = [Path(dataset.get_data_info(number)['img_path']) for number in numbers]
    return {f'{path.parent.name}/{path.stem}': path for path in paths}


def faces_of(cfg: str | Path | Config) -> dict[str, Faces]:
    """The faces that a detector is tested on, see :func:`load_ground_truth`.

    Raises:
        FileNotFoundError: When a file is missing.
        ValueError: When the config is not one of a detector that is tested by a WiderFaceMetric.
    """
    cfg = _detector_config(cfg)
    metrics = evaluators_of(cfg)
    folders = [metric.ground_truth for metric in metrics if type_name(metric) == 'WiderFaceMetric']
    if not folders:
        raise ValueError(
            f'{cfg.filename or "the config"}: found the metric {type_name(metrics[0])}, expected WiderFaceMetric, '
            'whose ground truth says which faces count'
        )
    return load_ground_truth(folders[0])


def detect_all(
    cfg: str | Path | Config, checkpoint: str | Path, paths: Mapping[str, Path], device: str | None = None
) -> dict[str, Detections]:
    """Run a network on pictures, degraded as in its own test, one after the other.

    Args:
        cfg, checkpoint, device: See FaceDetector.
        paths: The pictures by name, see :func:`pictures_of`.

    Returns:
        The detections of each picture, of all scores; none in one that cannot be read.

    Raises:
        FileNotFoundError: When the checkpoint is missing.
        ValueError: When config or checkpoint are not those of a detector of faces, or the checkpoint does not fit.
    """
    detector = FaceDetector(_detector_config(cfg), checkpoint, device, degrade=True, min_score=0)
    found, unreadable = detector.detect_readable(track(list(paths.values()), 'detecting faces'))
    found = iter(found)
    return {
        name: _NOTHING if number in unreadable else _as_the_protocol(*next(found)) for number, name in enumerate(paths)
    }


_NOTHING = Detections(np.zeros((0, 4)), np.zeros(0))


def _as_the_protocol(corners, scores):
    """Widths and heights in float32, as the metric has them."""
    boxes = np.hstack([corners[:, :2], corners[:, 2:] - corners[:, :2]])
    return Detections(boxes.astype(np.float64), scores.astype(np.float64))


def _detector_config(cfg):
    cfg = cfg if isinstance(cfg, Config) else load_config(cfg)
    if cfg.get('default_scope') != 'mmdet' or not cfg.get('test_dataloader') or not cfg.get('test_evaluator'):
        raise ValueError(
            f'{cfg.filename or "the config"}: found a config of {cfg.get("default_scope")}, expected one of a face '
            'detector with its test (default_scope mmdet, test_dataloader, test_evaluator)'
        )
    return cfg


def outcomes(
    boxes: np.ndarray, scores: np.ndarray, faces: np.ndarray, kept: np.ndarray, threshold: float = -np.inf
) -> Outcomes:
    """What became of the detections and the faces of a picture, by the protocol, see :func:`match_detections`.

    Args:
        boxes: Detections, (N, 4), x, y, width, height in pixels.
        scores: (N,).
        faces: (M, 4), likewise.
        kept: bool (M,), which faces count.
        threshold: Detections of lower scores are left out.
    """
    order = np.argsort(-np.asarray(scores), kind='stable')
    order = order[np.asarray(scores)[order] >= threshold]
    boxes, scores = np.asarray(boxes, np.float64)[order], np.asarray(scores, np.float64)[order]
    faces, kept = np.asarray(faces, np.float64).reshape(-1, 4), np.asarray(kept, bool)
    proposals, hits = match_detections(boxes, scores, faces, kept[:, None])
    owner, overlap = best_faces(boxes, faces) if len(faces) else (np.zeros(len(boxes), int), np.zeros(len(boxes)))
    found = np.zeros(len(faces), bool)
    found[owner[overlap >= IOU_THRESHOLD]] = True
    return Outcomes(boxes, scores, hits[:, 0], ~proposals[:, 0], overlap, faces, kept, found)


def all_outcomes(
    detections: Mapping[str, Detections], ground_truth: Mapping[str, Faces], threshold: float, setting: str = 'hard'
) -> dict[str, Outcomes]:
    """:func:`outcomes` of every picture.

    Raises:
        ValueError: When there is no picture, or the ground truth lacks one, or has no such setting.
    """
    faces = _evaluated({'': detections}, ground_truth, setting)
    column = SETTINGS.index(setting)
    return {
        name: outcomes(*found, faces[name].boxes, faces[name].kept[:, column], threshold)
        for name, found in detections.items()
    }


def operating_point(
    detections: Mapping[str, Detections], ground_truth: Mapping[str, Faces], setting: str = 'hard'
) -> float:
    """The score from which on a network does best: where F1, the harmonic mean of precision and recall, is highest.

    Networks whose scores differ in scale, as a teacher's and a student's do, are compared fairly when each is looked at
    from its own best score on. Of equally good scores it is the highest; infinity where nothing is detected.

    Args:
        detections: Of one network, by picture.
        ground_truth: Of these pictures at least; others do not count.
        setting: 'easy', 'medium' or 'hard', the faces that count.

    Raises:
        ValueError: See :func:`all_outcomes`.
    """
    results = all_outcomes(detections, ground_truth, -np.inf, setting).values()
    scores, hits, ignored = (np.concatenate([getattr(each, key) for each in results]) for key in _RANKED)
    order = np.argsort(-scores, kind='stable')
    scores = scores[order]
    # A threshold takes all detections of a score, or none.
    last = np.flatnonzero(np.append(scores[1:] < scores[:-1], True)[: len(scores)])
    if not len(last):
        return np.inf
    hits, proposals = np.cumsum(hits[order])[last], np.cumsum(~ignored[order])[last]
    faces = sum(each.counts.sum() for each in results)
    # 2PR / (P + R) with P = hits / proposals and R = hits / faces
    return float(scores[last[np.argmax(hits / np.maximum(proposals + faces, 1))]])


_RANKED = 'scores', 'hit', 'ignored'


def _evaluated(networks, ground_truth, setting='hard'):
    """The ground truth of the pictures that all networks have seen."""
    check_choice('detections', 'setting', setting, SETTINGS)
    first, *others = networks.values() if networks else [{}]
    if not first:
        raise ValueError('found no picture with detections, expected at least one')
    for label, other in zip(list(networks)[1:], others):
        if different := sorted(first.keys() ^ other.keys()):
            raise ValueError(
                f'{label} has seen other pictures than {next(iter(networks))}, {len(different)} of them: '
                f'{first_names(different)}; detect with all networks on the same'
            )
    if unknown := [name for name in first if name not in ground_truth]:
        raise ValueError(f'the ground truth lacks {len(unknown)} pictures: {first_names(unknown)}')
    return {name: ground_truth[name] for name in first}


def most_different(
    base: Mapping[str, Outcomes], student: Mapping[str, Outcomes], count: int | None = None
) -> list[tuple[str, int]]:
    """The pictures in which two networks differ most in hits minus false alarms.

    Args:
        base, student: By picture, the same ones.
        count: How many; by default all that differ.

    Returns:
        Name and gain (student minus base), the greatest difference first whichever is better, so that the pictures
        show losses as well; of equal ones the gain first, then by name. Pictures without a difference are left out.

    Raises:
        ValueError: When the pictures are not the same.
    """
    if base.keys() != student.keys():
        raise ValueError(f'found other pictures: {first_names(sorted(base.keys() ^ student.keys()))}')
    gains = [(name, student[name].balance - base[name].balance) for name in base]
    return sorted(filter(lambda item: item[1], gains), key=lambda item: (-abs(item[1]), -item[1], item[0]))[:count]


def area_of_difference(
    base: Outcomes, student: Outcomes, shape: tuple[int, int], share: float = 0.5
) -> tuple[slice, slice]:
    """The part of a picture around that face, of those that one of two networks has found, which has most others near.

    Args:
        base, student: Of this picture.
        shape: Height and width of the picture in pixels.
        share: Of its height and width that the part has, in (0, 1].

    Returns:
        Its rows and columns; the middle where no face makes a difference.
    """
    check_number('area_of_difference', 'share', share, above=0, at_most=1)
    shape = np.array(shape)
    size = np.maximum(np.rint(share * shape).astype(int), 1)
    faces = base.faces[base.counts & (base.found != student.found)]
    centres = (faces[:, :2] + faces[:, 2:] / 2)[:, ::-1]  # y, x
    middle = shape / 2
    if len(centres):
        near = (np.abs(centres[:, None] - centres) <= size / 2).all(2)
        middle = centres[np.argmax(near.sum(1))]
    start = np.rint(middle - size / 2).astype(int).clip(0, shape - size)
    rows, columns = (slice(int(low), int(low + length)) for low, length in zip(start, size))
    return rows, columns


def draw_outcomes(
    image: np.ndarray,
    outcomes: Outcomes,
    zoom: float = 1,
    area: tuple[slice, slice] | None = None,
    scores: bool = True,
) -> np.ndarray:
    """A picture with its hits (solid frame, blue), misses (dashed, yellow) and false alarms (cut corners, vermilion).

    Detections that are neither get grey bars above and below; see :func:`draw_legend`. Frames lie outside their boxes,
    of which only cut corners hide a little, and are at least 11 pixels wide and high, so that their shape can be told.

    Args:
        image: BGR uint8 (H, W, 3), HR or LR, of the original size.
        outcomes: Of this picture.
        zoom: The picture is enlarged so many times before it is drawn on, > 0.
        area: Rows and columns to draw, see :func:`area_of_difference`; by default all.
        scores: Whether to write the scores in % where there is room.

    Returns:
        BGR uint8 (zoom * H, zoom * W, 3), a new picture.
    """
    result = _enlarged(image, zoom, area)
    boxes, faces = (_corners(boxes, zoom, area) for boxes in (outcomes.boxes, outcomes.faces))
    parts = (
        ('ignored', boxes[outcomes.ignored]),
        ('miss', faces[outcomes.missed]),
        ('false alarm', boxes[outcomes.false_alarm]),
        ('hit', boxes[outcomes.hit]),
    )
    _draw_frames(result, parts)
    if scores:
        told = ~outcomes.ignored
        write_scores(result, boxes[told], outcomes.scores[told], np.vstack([boxes[~told], faces]))
    return result


def draw_ground_truth(
    image: np.ndarray,
    faces: np.ndarray,
    kept: np.ndarray,
    zoom: float = 1,
    area: tuple[slice, slice] | None = None,
) -> np.ndarray:
    """A picture with white corners around its faces, and grey bars above and below those that do not count.

    Args:
        image, zoom, area: See :func:`draw_outcomes`.
        faces: (M, 4), x, y, width, height in pixels.
        kept: bool (M,), which faces count.
    """
    result = _enlarged(image, zoom, area)
    boxes = _corners(faces, zoom, area)
    _draw_frames(result, (('ignored', boxes[~kept]), ('face', boxes[kept])))
    return result


def _enlarged(image, zoom, area):
    check_number('draw', 'zoom', zoom, above=0)
    part = image if area is None else image[area]
    how = cv2.INTER_CUBIC if zoom > 1 else cv2.INTER_AREA
    return cv2.resize(part, None, fx=zoom, fy=zoom, interpolation=how) if zoom != 1 else part.copy()


def _corners(boxes, zoom, area):
    """x1, y1, x2, y2 in pixels of the drawing."""
    start = (0, 0) if area is None else (area[1].start, area[0].start)
    return zoom * np.hstack([boxes[:, :2] - start, boxes[:, :2] + boxes[:, 2:] - start])


def _draw_frames(image, parts):
    """Draw frames around boxes x1, y1, x2, y2, whose shape and colour say what they are.

    Dark edges of a pixel make them stand out from any ground; they come first, so that none covers a line.
    """
    shapes = [(kind, line_width(box), _SHAPES[kind](*_place(box))) for kind, boxes in parts for box in boxes]
    edges = np.zeros(image.shape[:2], np.uint8)
    for _, width, lines in shapes:
        cv2.polylines(edges, lines, False, 1, width)
    image[cv2.dilate(edges, np.ones((3, 3))) > 0] = _GROUND
    for kind, width, lines in shapes:
        cv2.polylines(image, lines, False, _COLOURS[kind], width)


def _place(box):
    """Where the line around a box runs, int x1, y1, x2, y2."""
    away = line_width(box) + 1  # OpenCV's lines are up to twice as wide as they should be, and have an edge
    start, end = np.floor(box[:2]).astype(int) - away, np.ceil(box[2:]).astype(int) - 1 + away
    lacking = np.maximum(_LEAST_FRAME - 1 - (end - start), 0)
    return *(start - lacking // 2).tolist(), *(end + (lacking + 1) // 2).tolist()


def _solid(x1, y1, x2, y2):
    return [np.array([(x1, y1), (x2, y1), (x2, y2), (x1, y2), (x1, y1)])]


def _dashed(x1, y1, x2, y2):
    """Every side begins and ends with a dash, so that corners are seen."""
    lines = []
    for start, end in pairwise(_solid(x1, y1, x2, y2)[0]):
        pieces = max(np.abs(end - start).sum() // 8 * 2 + 1, 5)
        points = np.rint(np.linspace(start, end, pieces + 1)).astype(int)
        lines += [np.array(dash) for dash in zip(points[::2], points[1::2])]
    return lines


def _cut(x1, y1, x2, y2):
    cut = max(min(x2 - x1, y2 - y1) // 3, 1)
    xs, ys = (x1, x1 + cut, x2 - cut, x2), (y1, y1 + cut, y2 - cut, y2)
    places = (1, 0), (2, 0), (3, 1), (3, 2), (2, 3), (1, 3), (0, 2), (0, 1), (1, 0)
    return [np.array([(xs[i], ys[j]) for i, j in places])]


def _corner_marks(x1, y1, x2, y2):
    long = max(min(x2 - x1, y2 - y1) // 4, 2)
    corners = ((x1, y1, 1, 1), (x2, y1, -1, 1), (x1, y2, 1, -1), (x2, y2, -1, -1))
    return [np.array([(x + dx * long, y), (x, y), (x, y + dy * long)]) for x, y, dx, dy in corners]


def _bars(x1, y1, x2, y2):
    return [np.array([(x1, y), (x2, y)]) for y in (y1, y2)]


_SHAPES = {'face': _corner_marks, 'hit': _solid, 'miss': _dashed, 'false alarm': _cut, 'ignored': _bars}
_COLOURS = {'face': FACE, 'hit': HIT, 'miss': MISS, 'false alarm': FALSE_ALARM, 'ignored': IGNORED}
_MEANINGS = {'hit': 'found', 'miss': 'missed', 'false alarm': 'false alarm', 'face': 'face', 'ignored': 'not counted'}


def draw_legend() -> np.ndarray:
    """What the frames of :func:`draw_outcomes` and :func:`draw_ground_truth` mean, on dark: BGR uint8 (H, W, 3)."""
    parts = []
    for kind, text in _MEANINGS.items():
        label = _label(text)
        mark = np.full((len(label), 34, 3), _GROUND, np.uint8)
        _draw_frames(mark, [(kind, np.float32([[10, 6, 28, 24]]))])
        parts += [mark, label]
    return np.hstack(parts)


def _label(text, height=30, scale=0.5):
    """A text, white on dark, BGR."""
    (width, tall), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
    label = np.full((height, width + 12, 3), _GROUND, np.uint8)
    cv2.putText(label, text, (4, (height + tall) // 2), cv2.FONT_HERSHEY_SIMPLEX, scale, _TEXT, 1, cv2.LINE_AA)
    return label


def draw_sheet(rows: Sequence[Sequence[np.ndarray]], titles: Sequence[str]) -> np.ndarray:
    """Pictures side by side, in columns with titles, above the legend of :func:`draw_legend`.

    Args:
        rows: Pictures BGR uint8, as many in every row, of any sizes.
        titles: Of the columns; what is no ASCII is drawn as `?`.

    Returns:
        BGR uint8 (H, W, 3).

    Raises:
        ValueError: When there is no picture, or a row has another number than there are titles.
    """
    if not rows or any(len(row) != len(titles) for row in rows):
        raise ValueError(
            f'found rows of {[len(row) for row in rows]} pictures, expected {len(titles)} in at least one row'
        )
    heads = [_label(title, scale=0.6) for title in titles]
    widths = [max(picture.shape[1] for picture in column) for column in zip(heads, *rows)]
    bands = [_band(heads, widths), *(_band(row, widths) for row in rows), draw_legend()]
    width = max(band.shape[1] for band in bands)
    return np.vstack([_padded(band, len(band), width) for band in bands])


def _band(pictures, widths, gap=4):
    height = max(map(len, pictures))
    return np.hstack([_padded(picture, height + gap, width + gap) for picture, width in zip(pictures, widths)])


def _padded(image, height, width):
    below, beside = height - image.shape[0], width - image.shape[1]
    return cv2.copyMakeBorder(image, 0, below, 0, beside, cv2.BORDER_CONSTANT, value=_GROUND)


class ByHeight(NamedTuple):
    """AP by the height of the faces.

    Attributes:
        edges: B + 1 heights in LR pixels; a bin is from one up to below the next.
        faces: For each of B bins the number of faces that count.
        precision: For each network the AP in % in every bin; None where a bin has no face.
    """

    edges: list[float]
    faces: list[int]
    precision: dict[str, list[float | None]]


def average_precision_by_height(
    networks: Mapping[str, Mapping[str, Detections]],
    ground_truth: Mapping[str, Faces],
    ratio: float = 1,
    edges: Sequence[float] | None = None,
    setting: str = 'hard',
) -> ByHeight:
    """AP of networks on faces of about one height, in LR pixels. The faces of all other heights are ignored, as the
    protocol ignores faces that do not count: what is found of them is neither right nor wrong. A false alarm is one in
    every bin, so that bins of few faces have lower AP.

    Args:
        networks: The detections of each, by picture; of all in the same pictures.
        ground_truth: Of these pictures at least; others do not count.
        ratio: HR size over LR size, >= 1, by which the faces' heights are divided.
        edges: At least two heights in LR pixels, ascending; by default powers of two around all faces that count.
        setting: 'easy', 'medium' or 'hard', the faces that count.

    Raises:
        ValueError: When there is no picture, the networks have seen different ones, no face counts, or an argument is
            out of its range.

    Example:
        >>> faces = Faces(np.array([[0, 0, 8, 8.0], [50, 0, 30, 30]]), np.ones((2, 3), bool))
        >>> found = {'0--Parade/a': Detections(faces.boxes[1:], np.array([0.9]))}
        >>> average_precision_by_height({'base': found}, {'0--Parade/a': faces}, ratio=4)
        ByHeight(edges=[2.0, 4.0, 8.0], faces=[1, 1], precision={'base': [0.0, 100.0]})
    """
    check_number('average_precision_by_height', 'ratio', ratio, at_least=1)
    faces = _evaluated(networks, ground_truth, setting)
    column = SETTINGS.index(setting)
    heights = {name: own.boxes[:, 3] / ratio for name, own in faces.items()}
    if edges is None:
        counted = np.concatenate([heights[name][own.kept[:, column]] for name, own in faces.items()])
        counted = counted[counted > 0]
        if not len(counted):
            raise ValueError(f'found no face that counts as {setting} in {len(faces)} pictures')
        low, high = np.floor(np.log2([counted.min(), counted.max()])).astype(int)
        edges = 2.0 ** np.arange(low, high + 2)
    edges = [float(edge) for edge in edges]
    if len(edges) < 2 or any(low >= high for low, high in pairwise(edges)):
        raise ValueError(f'average_precision_by_height: found edges={edges}, expected at least two, ascending')
    bins = len(edges) - 1
    kept = {
        name: own.kept[:, column, None] & (np.digitize(heights[name], edges)[:, None] == 1 + np.arange(bins))
        for name, own in faces.items()
    }
    numbers = sum(own.sum(0) for own in kept.values()).tolist()
    precision = {label: [] for label in networks}
    for start in range(0, bins, len(SETTINGS)):  # the protocol takes as many sets of faces at a time as it has settings
        part = slice(start, start + len(SETTINGS))
        missing = len(SETTINGS) - len(range(bins)[part])
        parts = {
            name: Faces(faces[name].boxes, np.pad(own[:, part], ((0, 0), (0, missing)))) for name, own in kept.items()
        }
        for label, detections in networks.items():
            curves = _score(detections, parts).curves().values()
            precision[label] += [
                100 * curve.average_precision if number else None for curve, number in zip(curves, numbers[part])
            ]
    return ByHeight(edges, numbers, precision)


def _score(detections, faces):
    score = WiderFaceScore(faces)
    for name, found in detections.items():
        score.add(name, *found)
    return score


def plot_by_height(by_height: ByHeight) -> Figure:
    """AP over the height of the faces, a line for each network, with the number of faces below each bin."""
    figure, (axes,) = panels(size=(max(3.6, 0.62 * len(by_height.faces)), 2.8))
    for number, (label, values) in enumerate(by_height.precision.items()):
        values = [np.nan if value is None else value for value in values]
        axes.plot(range(len(values)), values, label=label, **line(number))
    bins = zip(pairwise(by_height.edges), by_height.faces)
    axes.set_xticks(range(len(by_height.faces)), [f'{low:g}-{high:g}\n({count})' for (low, high), count in bins])
    axes.set(xlabel='face height in LR pixels (number of faces)', ylabel='AP in %', ylim=(-2, 102))
    runs_legend(axes, by_height.precision)
    return figure


def precision_recall(
    networks: Mapping[str, Mapping[str, Detections]], ground_truth: Mapping[str, Faces]
) -> dict[str, dict[str, Curve]]:
    """Recall and precision of each network on the easy, medium and hard faces, by the protocol.

    Args:
        networks, ground_truth: See :func:`average_precision_by_height`.

    Raises:
        ValueError: When there is no picture, or the networks have seen different ones.
    """
    faces = _evaluated(networks, ground_truth)
    return {label: _score(detections, faces).curves() for label, detections in networks.items()}


def difference_over_pictures(
    base: Mapping[str, Detections],
    student: Mapping[str, Detections],
    ground_truth: Mapping[str, Faces],
    setting: str = 'hard',
    rounds: int = 500,
    seed: int = 0,
) -> tuple[float, float, float]:
    """AP of a student less that of a base, in points, and how far it depends on the pictures: a paired bootstrap.

    Pictures are drawn with replacement, as many as there are, the same for both networks.

    Args:
        base, student: Detections by picture, of the same ones.
        ground_truth: Of these pictures at least.
        setting: 'easy', 'medium' or 'hard'.
        rounds: How often they are drawn.
        seed: Of what is drawn.

    Returns:
        The difference on these pictures, and the 2.5th and the 97.5th percentile of those on the drawn ones. They say
        nothing of how much another training would differ.

    Raises:
        ValueError: When there is no picture, or the networks have seen different ones.
    """
    check_number('difference_over_pictures', 'rounds', rounds, whole=True, at_least=1)
    networks = {'base': base, 'student': student}
    faces = _evaluated(networks, ground_truth, setting)
    matches = [_score(detections, faces).images for detections in networks.values()]
    names = list(faces)

    def difference(drawn):
        truth = {i: faces[names[j]] for i, j in enumerate(drawn)}
        ours, theirs = (
            WiderFaceScore(truth, {i: images[names[j]] for i, j in enumerate(drawn)}).average_precision()[setting]
            for images in reversed(matches)
        )
        return 100 * (ours - theirs)

    generator = np.random.default_rng(seed)
    found = [difference(generator.integers(len(names), size=len(names))) for _ in range(rounds)]
    low, high = np.percentile(found, [2.5, 97.5])
    return difference(range(len(names))), float(low), float(high)


def plot_precision_recall(curves: Mapping[str, Mapping[str, Curve]]) -> Figure:
    """Three panels, easy, medium and hard, with a line for each network and its AP in %."""
    figure, axes = panels(columns=len(SETTINGS), sharey=True)
    for setting, panel in zip(SETTINGS, axes):
        for number, (label, own) in enumerate(curves.items()):
            curve = own[setting]
            known = curve.precision > 0  # above the best score there is no precision
            name = f'{label}: {100 * curve.average_precision:.1f}'
            panel.plot(curve.recall[known], curve.precision[known], label=name, markevery=0.2, **line(number))
        panel.set(title=setting, xlabel='recall', xlim=(0, 1.02), ylim=(0, 1.02))
        panel.legend(fontsize=8, frameon=False, loc='lower left', title='AP in %', title_fontsize=8)
    axes[0].set_ylabel('precision')
    return figure


class Failure(NamedTuple):
    """A kind of failure, and how often it happens.

    Attributes:
        kind: 'missed', 'false alarm' or 'does not count'.
        what: In words; 'all' for the sum of a kind.
        counts: For each network.
    """

    kind: str
    what: str
    counts: dict[str, int]


def failures(
    networks: Mapping[str, Mapping[str, Outcomes]],
    sizes: Mapping[str, tuple[int, int]],
    ratio: float = 1,
    heights: Sequence[float] = (4, 8, 16),
) -> list[Failure]:
    """The commonest failures of networks.

    Missed faces are divided by their heights; some of them overlap another face, or touch the border of the picture.
    False alarms are divided into those beside a face (of IoU 0.1 to 0.5 with it: badly placed), second detections of a
    face, and those of the background.

    Args:
        networks: Of each the outcomes by picture, see :func:`all_outcomes`.
        sizes: Width and height of the pictures by name; where one is missing, no face counts as touching its border.
        ratio: HR size over LR size, >= 1, by which the faces' heights are divided.
        heights: In LR pixels, ascending, which divide the missed faces.

    Returns:
        A row for each kind of failure, in this order.

    Raises:
        ValueError: When a network has no picture, or an argument is out of its range.
    """
    check_number('failures', 'ratio', ratio, at_least=1)
    check_numbers('failures', 'heights', heights, above=0)
    if not networks or not all(networks.values()):
        raise ValueError('failures: found no picture, expected at least one of each network')
    tables = {
        label: np.sum([_failures_of(own, sizes.get(name), ratio, heights) for name, own in results.items()], axis=0)
        for label, results in networks.items()
    }
    spans = [
        f'lower than {heights[0]:g} LR pixels',
        *(f'{low:g} to below {high:g} LR pixels' for low, high in pairwise(heights)),
        f'{heights[-1]:g} LR pixels and more',
    ]
    names = [
        ('missed', 'all'),
        *(('missed', span) for span in spans),
        ('missed', 'overlapping another face'),
        ('missed', 'at the border of the picture'),
        ('false alarm', 'all'),
        ('false alarm', f'beside a face (IoU {BESIDE} to {IOU_THRESHOLD})'),
        ('false alarm', 'a second time on a face'),
        ('false alarm', 'background'),
        ('does not count', 'faces too small or invalid for the setting, not found either'),
    ]
    return [
        Failure(*name, {label: int(table[row]) for label, table in tables.items()}) for row, name in enumerate(names)
    ]


def _failures_of(own, size, ratio, heights):
    """The counts of one picture, in the order of the table."""
    x, y, width, height = own.faces[own.missed].T
    border = np.zeros(len(x), bool)
    if size:
        border = (x <= 1) | (y <= 1) | (x + width >= size[0] - 1) | (y + height >= size[1] - 1)
    start, end = own.faces[:, :2], own.faces[:, :2] + own.faces[:, 2:]
    shared = np.minimum(end[own.missed, None], end) - np.maximum(start[own.missed, None], start)
    overlapping = (shared > 0).all(2).sum(1) > 1  # each overlaps itself
    false = own.overlap[own.false_alarm]
    beside = (false >= BESIDE) & (false < IOU_THRESHOLD)
    return [
        len(x),
        *np.bincount(np.digitize(height / ratio, heights), minlength=len(heights) + 1),
        overlapping.sum(),
        border.sum(),
        len(false),
        beside.sum(),
        (false >= IOU_THRESHOLD).sum(),
        (false < BESIDE).sum(),
        (~own.counts & ~own.found).sum(),
    ]
