"""Faces from the ONNX files of `askd export`, on numpy and onnxruntime alone: copy this file to where torch is not."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import onnxruntime
from PIL import Image, ImageOps


class Detections(NamedTuple):
    """The faces of a picture, best first: boxes float32 (N, 4) x1, y1, x2, y2 in its pixels, scores float32 (N,)."""

    boxes: np.ndarray
    scores: np.ndarray


def read_picture(path: str | Path) -> np.ndarray:
    """A picture as BGR, uint8 (H, W, 3), upright, 16 bits a pixel scaled to 8."""
    with Image.open(path) as picture:
        sixteen = picture.mode.startswith('I;16') or (picture.mode == 'I' and picture.format == 'PPM')
        if picture.mode[0] in 'FI' and not sixteen:
            raise ValueError(f"pixels of Pillow's mode {picture.mode} have no range that is known")
        upright = ImageOps.exif_transpose(picture)
    if sixteen:
        return cv2.cvtColor((np.asarray(upright) >> 8).astype(np.uint8), cv2.COLOR_GRAY2BGR)
    if upright.mode == 'LA':
        ground = Image.new('RGBA', upright.size, (124, 117, 104, 255))
        ground.alpha_composite(upright.convert('RGBA'))
        upright = ground
    return cv2.cvtColor(np.asarray(upright.convert('RGB')), cv2.COLOR_RGB2BGR)


class _Network:
    """An ONNX file of `askd export`.

    Args:
        path: The file.
        device: 'cpu', 'cuda' or 'cuda:1', ...; by default a GPU where onnxruntime has one.
        read: Makes a path into a picture, BGR uint8 (H, W, 3), and raises where it cannot.

    Attributes:
        settings: What the config said beside the network.
        fingerprint: As that of the network in torch, which has the same weights.

    Raises:
        FileNotFoundError: When there is no such file.
        ValueError: When it is another kind of file, or onnxruntime has no such device.
    """

    def __init__(self, path: str | Path, device: str | None = None, read: Callable = read_picture):
        if not Path(path).is_file():
            raise FileNotFoundError(f'no ONNX file at {path}; askd export writes one')
        kind, _, number = (device or 'cuda').partition(':')
        gpu = 'CUDAExecutionProvider' in onnxruntime.get_available_providers()
        if kind not in ('cpu', 'cuda') or (device and kind == 'cuda' and not gpu):
            raise ValueError(f'cannot use the device {device!r}: this onnxruntime has cpu{" and cuda" if gpu else ""}')
        providers = [('CUDAExecutionProvider', {'device_id': int(number or 0)})] if kind == 'cuda' and gpu else []
        try:
            self.session = onnxruntime.InferenceSession(str(path), providers=[*providers, 'CPUExecutionProvider'])
        except Exception as error:  # onnxruntime's errors have no common class
            raise ValueError(f'{path} is no ONNX file that can be run ({str(error).splitlines()[0]})') from error
        self.settings = json.loads(self.session.get_modelmeta().custom_metadata_map.get('askd', '{}'))
        if self.settings.get('kind') != self.kind:
            raise ValueError(
                f'{path}: found {self.settings.get("kind", "a network of somebody else")}, expected the {self.kind} '
                'of an askd export'
            )
        self.fingerprint = self.settings['fingerprint']
        self.read = read

    def _run_all(self, images: Iterable, batch_size: int) -> tuple[list, list[int]]:
        """The results of the pictures that can be read, and the numbers of the others; equal sizes pass together."""
        results, unreadable, batch = [], [], []
        for i, image in enumerate(images):
            try:
                picture = image if isinstance(image, np.ndarray) else self.read(image)
            except Exception:  # decoders raise whatever a damaged file makes them run into
                unreadable.append(i)
                continue
            if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[-1] != 3 or not picture.size:
                raise ValueError(f'found an image {picture.dtype} {picture.shape}, expected BGR, uint8 (H, W, 3)')
            prepared = self.prepare(picture), picture.shape[:2]
            if batch and (len(batch) == batch_size or batch[0][0].shape != prepared[0].shape):
                results += self._run(batch)
                batch = []
            batch.append(prepared)
        return results + (self._run(batch) if batch else []), unreadable


class OnnxFaceDetector(_Network):
    """Finds faces, as `askd_mmdet.detection.FaceDetector` does; see :class:`_Network`.

    Args:
        min_score: Detections of lower scores are left out, in [0, 1]; those below the config's own threshold always.
    """

    kind = 'detector'

    def __init__(self, path, device=None, min_score: float = 0.3, read: Callable = read_picture):
        super().__init__(path, device, read)
        self.min_score = min_score

    def detect(self, images: Iterable[str | Path | np.ndarray], batch_size: int = 1) -> list[Detections]:
        """The faces of pictures: paths, or BGR arrays uint8 (H, W, 3); ValueError names those that cannot be read."""
        images = list(images)
        found, unreadable = self.detect_readable(images, batch_size)
        return _whole(found, unreadable, images)

    def detect_readable(self, images, batch_size: int = 1) -> tuple[list[Detections], list[int]]:
        """:meth:`detect`, but for the pictures that cannot be read, whose numbers are returned beside the faces."""
        return self._run_all(images, 1 if self.settings['nms'] else batch_size)

    def prepare(self, picture: np.ndarray) -> np.ndarray:
        """The picture as large as the config's `Resize` makes it, which keeps its proportions."""
        sides = np.array(picture.shape[:2])
        ratio = min(max(self.settings['scale']) / sides.max(), min(self.settings['scale']) / sides.min())
        height, width = np.maximum(1, (sides * ratio + 0.5).astype(int)).tolist()
        return cv2.resize(picture, (width, height), interpolation=cv2.INTER_LINEAR)

    def _run(self, batch):
        images = np.stack([image for image, _ in batch])
        scales = [np.divide(image.shape[1::-1], size[::-1]).astype(np.float32) for image, size in batch]
        if self.settings['nms']:
            found = [Detections(*self.session.run(None, {'images': images, 'scale': scales[0]}))]
        else:
            found = map(self._select, *self.session.run(None, {'images': images}), scales)
        return [self._best(each, size) for each, (_, size) in zip(found, batch)]

    def _select(self, boxes, scores, scale):
        """What the config leaves of all anchors' boxes, in pixels of the original picture."""
        keep = scores >= max(self.min_score, self.settings['score_threshold'])
        boxes, scores = boxes[keep], scores[keep]
        width, height = (boxes[:, 2:] - boxes[:, :2]).T
        large = np.sqrt(width * height) >= self.settings['min_box_side']
        large &= height / scale[1] >= self.settings['min_face_height']
        boxes, scores = boxes[large], scores[large]
        kept = suppress(boxes, scores, self.settings['iou_threshold'])[: self.settings['max_per_picture']]
        return Detections(boxes[kept] / np.tile(scale, 2), scores[kept])

    def _best(self, found, size):
        order = np.argsort(-found.scores, kind='stable')
        order = order[found.scores[order] >= self.min_score]
        return Detections(found.boxes[order].clip(0, np.float32([*size[::-1]] * 2)), found.scores[order])


class OnnxFaceEmbedder(_Network):
    """Turns aligned faces into embeddings, as `askd_mmdet.recognition.FaceEmbedder` does; see :class:`_Network`."""

    kind = 'embedder'

    def embed(self, images: Iterable[str | Path | np.ndarray], batch_size: int = 64) -> np.ndarray:
        """Embeddings float32 (N, D), of length 1, of paths or BGR arrays; names in a ValueError what it cannot read."""
        images = list(images)
        embeddings, unreadable = self.embed_readable(images, batch_size)
        return _whole(embeddings, unreadable, images)

    def embed_readable(self, images, batch_size: int = 64) -> tuple[np.ndarray, list[int]]:
        """:meth:`embed`, but for the pictures that cannot be read; ValueError where none can."""
        results, unreadable = self._run_all(images, batch_size)
        if not results:
            raise ValueError(f'cannot read any of {len(unreadable)} pictures; check that the files are there and whole')
        return np.stack(results), unreadable

    def compare(self, a: str | Path | np.ndarray, b: str | Path | np.ndarray) -> float:
        """The cosine between the embeddings of two pictures, in [-1, 1]."""
        first, second = self.embed([a, b])
        return float(np.clip(first @ second, -1, 1))

    def prepare(self, picture: np.ndarray) -> np.ndarray:
        """The picture at the network's size, by bicubic interpolation with antialiasing, as `ResizeToHR` has it."""
        for axis in (1, 0):
            picture = _bicubic(picture, axis, self.settings['size'])
        return picture

    def _run(self, batch):
        return list(self.session.run(None, {'images': np.stack([image for image, _ in batch])})[0])


def suppress(boxes: np.ndarray, scores: np.ndarray, iou_threshold: float) -> np.ndarray:
    """Non-maximum suppression: the numbers of the boxes that stay, best first.

    Example:
        >>> suppress(np.float32([[0, 0, 4, 4], [0, 0, 4, 5], [9, 9, 10, 10]]), np.float32([0.5, 0.9, 0.1]), 0.5)
        array([1, 2])
    """
    order, kept = np.argsort(-scores, kind='stable'), []
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    while len(order):
        best, order = order[0], order[1:]
        kept.append(best)
        sides = np.minimum(boxes[best, 2:], boxes[order, 2:]) - np.maximum(boxes[best, :2], boxes[order, :2])
        shared = sides.clip(0).prod(1)
        order = order[shared <= iou_threshold * (areas[best] + areas[order] - shared)]
    return np.array(kept, int)


def _bicubic(picture, axis, outside):
    """A picture resized along an axis as torch does it, in 16-bit weights, with a = -0.5 and antialiasing."""
    inside = picture.shape[axis]
    if inside == outside:
        return picture
    ratio = inside / outside
    x = np.abs(np.arange(inside) + 0.5 - (np.arange(outside)[:, None] + 0.5) * ratio) / max(ratio, 1)
    weights = np.where(x < 1, (1.5 * x - 2.5) * x**2 + 1, np.where(x < 2, ((2.5 - 0.5 * x) * x - 4) * x + 2, 0))
    weights /= weights.sum(1, keepdims=True)
    bits = min(22, int(np.log2((2**15 - 0.5) / weights.max())))
    whole = np.trunc(weights * 2**bits + np.copysign(0.5, weights)).astype(np.int64)
    pixels = np.moveaxis(np.tensordot(whole, picture.astype(np.int64), (1, axis)), 0, axis)
    return (pixels + 2 ** (bits - 1) >> bits).clip(0, 255).astype(np.uint8)


def _whole(results, unreadable, images):
    if unreadable:
        names = ', '.join(str(images[i]) for i in unreadable[:5])
        raise ValueError(
            f'cannot read {len(unreadable)} of {len(images)} pictures: {names}'
            f'{", ..." if len(unreadable) > 5 else ""}; check that the files are there and whole'
        )
    return results
