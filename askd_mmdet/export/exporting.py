"""Detectors and embedders to ONNX files, each of which is compared with torch on real pictures before it is left."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from skimage import data
from torch import nn

from askd_mmdet.degradation.transform import walk
from askd_mmdet.export.network import DetectorNetwork, EmbedderNetwork, write_onnx
from askd_mmdet.export.runner import Detections, OnnxFaceDetector, OnnxFaceEmbedder
from askd_mmdet.progress import track
from askd_mmdet.training.files import part_of


class Tolerance(NamedTuple):
    """The largest differences from torch: of boxes in pixels of the network's input, of scores, and in embeddings."""

    boxes: float
    scores: float
    embeddings: float


FULL, HALF = Tolerance(0.1, 1e-3, 1e-5), Tolerance(2, 0.02, 2e-3)  # of files in float32 and in float16
# Of a picture the best that NMS is compared on; untrained networks have hundreds of thousands.
CANDIDATES = 3000


def export_detector(
    detector, path: Path, nms: bool = False, pictures: Iterable[np.ndarray] = (), half: bool = False
) -> str:
    """Write a detector as one ONNX file, for `runner.OnnxFaceDetector` or any other runtime.

    The input `images` is BGR uint8 (N, H, W, 3) of any size; normalisation and padding are inside. What comes out:
    see :class:`DetectorNetwork`.

    Args:
        detector: A FaceDetector, whose head is an IoUAwareRetinaHead.
        path: The file, which appears when it was checked.
        nms: Whether thresholds and NMS are inside, for one picture at a time.
        pictures: BGR uint8 (H, W, 3), to check it on; by default photographs of scikit-image.
        half: Whether its layers compute in float16: half the size, and faster on GPUs; without NMS inside, which of
            nearly equal candidates keeps others then, so that nothing could be compared.

    Returns:
        The largest differences, in words.

    Raises:
        ValueError: When the network or its pipeline is of a kind that the file cannot hold, or the file's boxes or
            scores differ from torch's by more than FULL allows, or HALF. Then no file is left.
    """
    model, pictures, tolerance = detector.model, list(pictures) or _photographs(), HALF if half else FULL
    if not hasattr(getattr(model, 'bbox_head', None), 'candidates'):
        raise ValueError(f'found a {type(model).__name__}, expected a detector with an IoUAwareRetinaHead')
    if nms and half:
        raise ValueError('found NMS and float16, expected one of them: in float16 it keeps others of equal candidates')
    resizes = [step for step in walk(detector.pipeline.transforms) if type(step).__name__ == 'Resize']
    if len(resizes) != 1 or not resizes[0].keep_ratio or not isinstance(resizes[0].scale, tuple):
        raise ValueError('found another pipeline than one with Resize(scale=(width, height), keep_ratio=True)')
    test = model.bbox_head.test_cfg
    settings = dict(
        kind='detector',
        nms=nms,
        scale=resizes[0].scale,
        score_threshold=test.score_thr,
        iou_threshold=test.nms.iou_threshold,
        max_per_picture=test.max_per_img,
        min_box_side=test.min_box_side,
        min_face_height=test.min_face_height,
        classes=['face'],
        fingerprint=detector.fingerprint,
    )
    example = torch.zeros(1, 64, 96, 3, dtype=torch.uint8)
    axes = dict(images={0: 'pictures', 1: 'height', 2: 'width'})
    with part_of(path) as part:
        axes.update(boxes={0: 'pictures', 1: 'anchors'}, scores={0: 'pictures', 1: 'anchors'})
        write_onnx(DetectorNetwork(model), part, dict(images=example), axes, {**settings, 'nms': False}, half)
        differences = check_candidates(part, detector, pictures, tolerance)
        if nms:
            plain = OnnxFaceDetector(part, 'cpu', min_score=0)
            axes = dict(images={1: 'height', 2: 'width'}, boxes={0: 'detections'}, scores={0: 'detections'})
            inputs = dict(images=example, scale=torch.ones(2))
            write_onnx(DetectorNetwork(model, suppressing=True), part, inputs, axes, settings)
            check_suppression(part, plain, pictures)
    boxes, scores = differences
    return f'boxes {boxes:.2g} px, scores {scores:.2g}, on {len(pictures)} pictures'


def export_embedder(embedder, path: Path, pictures: Iterable[np.ndarray] = (), half: bool = False) -> str:
    """Write an embedder as one ONNX file, for `runner.OnnxFaceEmbedder` or any other runtime.

    The input `images` is BGR uint8 (N, side, side, 3), of the size that the config sets; the output `embeddings` is
    float32 (N, D), of length 1.

    Args:
        embedder: A FaceEmbedder.
        path: The file, which appears when it was checked.
        pictures: BGR uint8 (H, W, 3), to check it on; by default faces and photographs of scikit-image.
        half: Whether its layers compute in float16: half the size, and faster on GPUs.

    Returns:
        The largest difference, in words.

    Raises:
        ValueError: When the pipeline does something else than to resize as `ResizeToHR`, or the embeddings differ from
            torch's by more than FULL allows, or HALF. Then no file is left.
    """
    pictures = list(pictures) or [*_photographs(), *_faces()]
    side = prepared(embedder.pipeline, pictures[0])[0].shape[-1]
    example = torch.zeros(2, side, side, 3, dtype=torch.uint8)
    axes = dict(images={0: 'pictures'}, embeddings={0: 'pictures'})
    settings = dict(kind='embedder', size=side, fingerprint=embedder.fingerprint)
    with part_of(path) as part:
        write_onnx(EmbedderNetwork(embedder.model), part, dict(images=example), axes, settings, half)
        difference = check_embeddings(part, embedder, pictures, HALF if half else FULL)
    return f'embeddings {difference:.2g}, on {len(pictures)} pictures'


def check_candidates(
    path: Path, detector, pictures: list[np.ndarray], tolerance: Tolerance = FULL
) -> tuple[float, float]:
    """The largest differences of all anchors' boxes and scores from torch's, each prepared in its own way.

    Raises:
        ValueError: When one is too large.
    """
    file = OnnxFaceDetector(path, 'cpu')
    head, largest = detector.model.bbox_head, []
    for picture in track(pictures, 'comparing with torch'):
        inputs, sample = prepared(detector.pipeline, picture)
        image = file.prepare(picture)
        _check_preparation(image, inputs, 0)
        with torch.inference_mode():
            data = detector.model.data_preprocessor(dict(inputs=[inputs], data_samples=[sample]))
            features = detector.model.extract_feat(data['inputs'])
            expected = head.candidates(*head(features), sample.img_shape)
        found = file.session.run(None, dict(images=image[None]))
        largest.append([_difference(a, b.cpu().numpy()) for a, b in zip(found, expected)])
    boxes, scores = np.max(largest, 0)
    _refuse(f'boxes by {boxes:.2g} px', boxes, tolerance.boxes)
    _refuse(f'scores by {scores:.2g}', scores, tolerance.scores)
    return boxes, scores


def check_suppression(path: Path, plain: OnnxFaceDetector, pictures: list[np.ndarray]) -> None:
    """See that a file with NMS inside finds the same faces as one without, as sets, among the best candidates.

    Raises:
        ValueError: When it does not.
    """
    file = OnnxFaceDetector(path, 'cpu')
    for picture in track(pictures, 'comparing with torch'):
        _, scores = plain.session.run(None, dict(images=plain.prepare(picture)[None]))
        # No box of a lower score has a say in what stays of those above.
        plain.min_score = file.min_score = float(np.sort(scores[0])[-CANDIDATES:][0])
        (found,), (expected,) = file.detect([picture]), plain.detect([picture])
        what = f'NMS, which leaves {len(found.scores)} of {len(expected.scores)} faces'
        _refuse(what, unmatched(found, expected, plain.min_score + FULL.scores), 0)


def unmatched(found: Detections, expected: Detections, least: float = 0) -> int:
    """How many detections of two sets, scored `least` or more, have no partner within FULL in the other."""

    def lonely(these, those):
        for box, score in zip(*these):  # one by one, since all pairs of many would fill the memory
            near = np.abs(those.boxes - box).max(1, initial=0) <= FULL.boxes
            yield score >= least and not (near & (np.abs(those.scores - score) <= FULL.scores)).any()

    return sum(lonely(found, expected)) + sum(lonely(expected, found))


def check_embeddings(path: Path, embedder, pictures: list[np.ndarray], tolerance: Tolerance = FULL) -> float:
    """The largest difference from torch's embeddings, of pictures that torch has prepared.

    Raises:
        ValueError: When it is too large.
    """
    file = OnnxFaceEmbedder(path, 'cpu')
    largest = 0
    for picture in track(pictures, 'comparing with torch'):
        inputs, sample = prepared(embedder.pipeline, picture)
        # Of a value in the middle between two grey levels either is right.
        _check_preparation(file.prepare(picture), inputs, 1)
        inputs = inputs.round().clamp(0, 255).to(torch.uint8)
        with torch.inference_mode():
            (result,) = embedder.model.test_step(dict(inputs=[inputs], data_samples=[sample]))
        expected = nn.functional.normalize(result.embedding, dim=0).cpu().numpy()
        (found,) = file.session.run(None, dict(images=inputs.permute(1, 2, 0).numpy()[None]))
        largest = max(largest, _difference(found[0], expected))
    _refuse(f'embeddings by {largest:.2g}', largest, tolerance.embeddings)
    return largest


def prepared(pipeline, picture: np.ndarray):
    """A picture as the network's config prepares it, (3, H, W), and its data sample."""
    packed = pipeline(dict(img_path='array', img_id=0, img=picture))
    return packed['inputs'], packed['data_samples']


def _photographs():
    return [np.ascontiguousarray(picture[..., ::-1]) for picture in (data.astronaut(), data.coffee(), data.chelsea())]


def _faces():
    return [np.dstack([face] * 3) for face in np.uint8(data.lfw_subset()[:10] * 255)]


def _check_preparation(image, inputs, tolerance):
    expected = inputs.permute(1, 2, 0).numpy()
    if image.shape != expected.shape or np.abs(image - expected.astype(np.float32)).max() > tolerance:
        raise ValueError(
            f"the config's test pipeline makes other pictures {expected.shape} than the runner {image.shape}, which "
            'only resizes, pictures of 8 bits: by Resize(keep_ratio=True) for detectors, by ResizeToHR for recognizers'
        )


def _difference(found, expected):
    if found.shape != expected.shape or not np.isfinite(found).all():
        return np.inf
    return float(np.abs(found - expected).max(initial=0))


def _refuse(what, difference, tolerance):
    if difference > tolerance:
        raise ValueError(f'onnxruntime differs from torch in {what}, expected at most {tolerance}; nothing was written')
