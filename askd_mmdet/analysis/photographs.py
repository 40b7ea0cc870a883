"""Photographs to embeddings of the faces in them: detect, align, embed."""

import argparse
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from askd_mmdet.analysis.networks import open_detector
from askd_mmdet.progress import track
from askd_mmdet.recognition.alignment import align, align_box
from askd_mmdet.recognition.cropping import landmark_finder
from askd_mmdet.recognition.embedder import Faces
from askd_mmdet.recognition.gallery import read_or_embed
from askd_mmdet.training.files import first_names
from askd_mmdet.training.pictures import PICTURES, find_pictures, read_picture

FindLandmarks = Callable[[np.ndarray, np.ndarray], np.ndarray | None]


class Detector(Protocol):
    """What finds faces: FaceDetector, or the same in ONNX. `detect` gives boxes (N, 4) and scores of each picture."""

    def detect(self, images): ...


class Embedder(Protocol):
    """What embeds aligned faces: FaceEmbedder, or the same in ONNX. `embed` gives float32 (N, D)."""

    fingerprint: str

    def embed(self, images, batch_size): ...


class FoundFaces(NamedTuple):
    """The faces in a picture.

    Attributes:
        boxes: float32 (N, 4), x1, y1, x2, y2 in pixels, in the order of the detector: best first.
        crops: N crops as ArcFace networks expect them, BGR uint8 (112, 112, 3).
        by_box: How many of them were cut out by their box, for want of landmarks.
    """

    boxes: np.ndarray
    crops: list[np.ndarray]
    by_box: int


class Photographs(NamedTuple):
    """The faces in photographs, and where there are none.

    Attributes:
        faces: The gallery, with names such as `photo.jpg#0` and boxes in pixels of the photographs.
        unreadable: Names of the photographs that cannot be read.
        without_face: Names of those in which no face was found.
        by_box: How many faces were cut out by their box, for want of landmarks.
    """

    faces: Faces
    unreadable: list[str]
    without_face: list[str]
    by_box: int


def find_faces(image: np.ndarray, detector: Detector, find_landmarks: FindLandmarks | None = None) -> FoundFaces:
    """Find the faces in a picture and cut them out.

    Args:
        image: BGR, uint8 (H, W, 3).
        detector: See :class:`Detector`.
        find_landmarks: From a picture and a face's box (4,) to its five landmarks (5, 2), or None where there are none,
            as :func:`mtcnn_if_installed` gives it. Where they are missing the box frames the face, see
            :func:`align_box`.
    """
    boxes = np.asarray(detector.detect([image])[0].boxes, np.float32)
    boxes = boxes[(boxes[:, 2:] - boxes[:, :2] >= 1).all(1)]  # of less than a pixel there is nothing to cut out
    landmarks = [find_landmarks(image, box) if find_landmarks else None for box in boxes]
    crops = [align_box(image, box) if points is None else align(image, points) for box, points in zip(boxes, landmarks)]
    return FoundFaces(boxes, crops, sum(points is None for points in landmarks))


def mtcnn_if_installed() -> FindLandmarks:
    """The function of :func:`landmark_finder`; where MTCNN is not installed one that finds nothing, which is said."""
    try:
        return landmark_finder()
    except ModuleNotFoundError as error:
        print(
            f'MTCNN is not installed ({error}), so faces are cut out by their boxes instead of aligned by landmarks: '
            "pip install 'askd_mmdet[align]'",
            file=sys.stderr,
        )
        return lambda image, box: None


def embed_photographs(
    detector: Detector,
    embedder: Embedder,
    folder: str | Path,
    names: list[str] | None = None,
    find_landmarks: FindLandmarks | None = None,
    batch_size: int = 64,
) -> Photographs:
    """Find the faces in photographs, cut them out, and embed them: a gallery. Each photograph is read once.

    Args:
        detector: See :class:`Detector`.
        embedder: See :class:`Embedder`.
        folder: Of the photographs.
        names: Of the photographs, relative to the folder; by default all below it.
        find_landmarks: See :func:`find_faces`; by default MTCNN's where it is installed.
        batch_size: Faces of a photograph that are embedded together.

    Raises:
        FileNotFoundError: When there is no photograph.
        ValueError: When none has a face.
    """
    folder = Path(folder)
    names = find_pictures(folder, partial(print, file=sys.stderr)) if names is None else names
    if not names:
        raise FileNotFoundError(f'{folder} holds no picture ({", ".join(PICTURES)})')
    find_landmarks = find_landmarks or mtcnn_if_installed()
    unreadable, found = [], {}
    for name in track(names, f'finding faces in {folder}'):
        try:
            image = read_picture(folder / name)
        except (OSError, ValueError):
            unreadable.append(name)
            continue
        boxes, crops, by_box = find_faces(image, detector, find_landmarks)
        found[name] = boxes, embedder.embed(crops, batch_size) if crops else None, by_box
    without_face = [name for name, (boxes, _, _) in found.items() if not len(boxes)]
    if len(without_face) == len(found):
        raise ValueError(
            f'found no face in {len(names)} photographs of {folder}, {len(unreadable)} of which cannot be read: '
            f'{first_names(names)}'
        )
    boxes, embeddings, by_box = zip(*(own for own in found.values() if len(own[0])))
    faces = Faces(
        str(folder.resolve()),
        [f'{name}#{number}' for name, (own, _, _) in found.items() for number in range(len(own))],
        np.concatenate(embeddings),
        embedder.fingerprint,
        np.concatenate(boxes),
    )
    return Photographs(faces, unreadable, without_face, sum(by_box))


def face_reader(args: argparse.Namespace, embedder: Embedder) -> Callable[[Path], Faces]:
    """What makes embedded faces of the pictures, folders and .npz files that a command line names.

    With `--detector` pictures are photographs, else aligned faces.

    Raises:
        FileNotFoundError, ValueError: See :func:`open_detector`.
    """
    if not args.detector:
        return partial(read_or_embed, embedder=embedder, batch_size=args.batch_size)
    if len(args.detector) > 2:
        raise ValueError(
            f'--detector names a config and a checkpoint, or an ONNX file; found {" ".join(args.detector)}'
        )
    detector = open_detector(*args.detector, device=args.device, min_score=args.min_score)
    find_landmarks = mtcnn_if_installed()

    def read(source: Path) -> Faces:
        if source.suffix == '.npz' and not source.is_dir():
            return read_or_embed(source, embedder, args.batch_size)
        folder, names = (source, None) if source.is_dir() else (source.parent.resolve(), [source.name])
        result = embed_photographs(detector, embedder, folder, names, find_landmarks, args.batch_size)
        for reason, left_out in (('cannot read', result.unreadable), ('found no face in', result.without_face)):
            for name in left_out:
                print(f'warning: {reason} {folder / name}, left it out', file=sys.stderr)
        print(
            f'{source}: {len(result.faces.names)} faces; photographs left out: {len(result.unreadable)} that cannot be '
            f'read, {len(result.without_face)} without a face',
            file=sys.stderr,
        )
        if result.by_box:
            print(f'{source}: {result.by_box} faces without landmarks are cut out by their box', file=sys.stderr)
        return result.faces

    return read
