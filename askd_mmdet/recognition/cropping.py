"""Crops as ArcFace networks expect them, of all pictures in a folder: landmarks found or read, faces aligned."""

import csv
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from askd_mmdet.recognition.alignment import TEMPLATE_SIZE, align
from askd_mmdet.training.files import replace_text
from askd_mmdet.training.pictures import PICTURES, find_pictures, read_picture, read_text
from askd_mmdet.training.progress import track
from askd_mmdet.training.settings import check_number

# MTCNN has no window that fits into less.
SMALLEST_PICTURE = 20
# In pixels, of the longer side of a box when MTCNN looks for the landmarks in it, and the IoU from which on a face of
# MTCNN's is that of the box.
FACE_SIDE, SAME_FACE = 64, 0.4


def read_landmarks(path: Path) -> dict[str, np.ndarray]:
    """Landmarks (5, 2) of the first face of each picture in a CSV file.

    Its lines are `path,x1,y1,...,x5,y5`: a picture relative to its folder, and in pixels the eye at the left of the
    picture, the other eye, the nose, the corner of the mouth at the left, the other corner; a header is allowed.

    Raises:
        OSError: When the file cannot be read.
        ValueError: For a line that is not a name and ten numbers.
    """
    landmarks = {}
    try:
        rows = list(csv.reader(read_text(path).splitlines()))
    except csv.Error as error:
        raise ValueError(f'{path} is no CSV file: {error}') from error
    for row in rows:
        # A header has no number at all; an empty line has nothing.
        if not row or (not landmarks and len(row) == 11 and not any(map(_is_number, row[1:]))):
            continue
        name, *numbers = row
        if len(numbers) != 10 or not all(map(_is_number, numbers)):
            raise ValueError(f'{path}: found {",".join(row)!r}, expected a path and ten numbers: path,x1,y1,...,x5,y5')
        landmarks.setdefault(Path(name).as_posix(), np.array(numbers, np.float64).reshape(5, 2))
    return landmarks


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return text.isascii()  # of other scripts' digits Python makes numbers as well


def face_finder() -> Callable[[str, np.ndarray], np.ndarray | None]:
    """MTCNN as a function from a name and a BGR picture (H, W, 3) to the landmarks (5, 2) of its largest face, or None.

    Raises:
        ModuleNotFoundError: When facenet-pytorch is not installed.
    """
    detect = _mtcnn()

    def find(name: str, image: np.ndarray) -> np.ndarray | None:
        _, landmarks = detect(image)
        return landmarks[0] if len(landmarks) else None

    return find


def landmark_finder() -> Callable[[np.ndarray, np.ndarray], np.ndarray | None]:
    """MTCNN as a function from a BGR picture (H, W, 3) and a face's box (4,) to the face's landmarks (5, 2), or None.

    It looks at twice the box, so scaled that it sees a face of any size. Boxes are x1, y1, x2, y2 in pixels.

    Raises:
        ModuleNotFoundError: When facenet-pytorch is not installed.
    """
    detect = _mtcnn()

    def find(image: np.ndarray, box: np.ndarray) -> np.ndarray | None:
        box = np.asarray(box, np.float64)
        middle, side = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]).max()
        height, width = image.shape[:2]
        left, top = np.floor(middle - side).clip(0).astype(int)
        right, bottom = np.ceil(middle + side).clip(0, (width, height)).astype(int)
        patch = image[top:bottom, left:right]
        scale = FACE_SIDE / side
        if not (patch.size and scale * min(patch.shape[:2]) >= 1):
            return None
        kernel = cv2.INTER_LINEAR if scale > 1 else cv2.INTER_AREA
        boxes, landmarks = detect(cv2.resize(patch, None, fx=scale, fy=scale, interpolation=kernel))
        overlaps = _overlaps(boxes / scale + [left, top, left, top], box)
        if not (overlaps >= SAME_FACE).any():
            return None
        points = landmarks[overlaps.argmax()] / scale + (left, top)
        # Beyond the border is nothing to align.
        return points if (points >= 0).all() and (points <= (width, height)).all() else None

    return find


def _mtcnn():
    """A function from a BGR picture to boxes, float64 (N, 4), and landmarks, float64 (N, 5, 2), the largest first."""
    import torch
    from facenet_pytorch import MTCNN

    mtcnn = MTCNN(select_largest=True, device=torch.device('cuda' if torch.cuda.is_available() else 'cpu'))

    def detect(image):
        boxes = landmarks = None
        if min(image.shape[:2]) >= SMALLEST_PICTURE:
            boxes, _, landmarks = mtcnn.detect(np.ascontiguousarray(image[..., ::-1]), landmarks=True)
        if boxes is None:
            return np.zeros((0, 4)), np.zeros((0, 5, 2))
        return boxes.astype(np.float64), landmarks.astype(np.float64)

    return detect


def _overlaps(boxes, box):
    """IoU of boxes (N, 4) with one."""
    sides = (np.minimum(boxes[:, 2:], box[2:]) - np.maximum(boxes[:, :2], box[:2])).clip(0)
    shared = sides.prod(1)
    return shared / ((boxes[:, 2:] - boxes[:, :2]).prod(1) + (box[2:] - box[:2]).prod() - shared)


def crop_face(source: Path, dest: Path, name: str, find: Callable, size: int) -> str:
    """Write the crop of a picture, whole or not at all; returns why there is none, '' where there is one."""
    try:
        image = read_picture(source / name)
    except (OSError, ValueError):
        return 'cannot be read'
    if (landmarks := find(name, image)) is None:
        return 'no face'
    try:
        crop = align(image, landmarks, size)
    except ValueError as error:
        return str(error)
    path = dest / name
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f'{path.name}.part')
    picture = Image.fromarray(np.ascontiguousarray(crop[..., ::-1]))
    picture.save(part, format=Image.registered_extensions()[path.suffix.lower()], quality=95)
    os.replace(part, path)
    return ''


def crop_faces(source: Path, dest: Path, landmarks: Path | None = None, size: int = TEMPLATE_SIZE) -> dict[str, int]:
    """Crop the face in every picture below a folder; what is there already stays, and skipped.txt tells the rest.

    Args:
        source: Pictures at any depth.
        dest: For the crops, which keep their relative names; not within the source.
        landmarks: CSV file, see :func:`read_landmarks`; by default MTCNN finds them.
        size: Side of the crops in pixels.

    Returns:
        How many were `written`, `there` already, and `skipped`.

    Raises:
        OSError, ValueError: When there is no picture, the landmarks cannot be read, or MTCNN is not installed.
    """
    check_number('crop_faces', 'size', size, whole=True, at_least=1)
    if not source.is_dir():
        raise FileNotFoundError(f'{source} is no folder')
    if dest.resolve().is_relative_to(source.resolve()):
        raise ValueError(f'{dest} lies in {source}; name a folder elsewhere, so that no crop is cropped again')
    names = find_pictures(source, partial(print, file=sys.stderr))
    if not names:
        raise FileNotFoundError(f'{source} holds no picture ({", ".join(PICTURES)})')
    known = read_landmarks(landmarks) if landmarks else {}
    try:
        find = (lambda name, image: known.get(name)) if landmarks else face_finder()
    except ModuleNotFoundError as error:
        raise ValueError(
            f"MTCNN is not installed ({error}): pip install 'askd_mmdet[align]', or name a file of landmarks"
        ) from error

    missing = [name for name in names if not (dest / name).is_file()]
    reasons = {name: crop_face(source, dest, name, find, size) for name in track(missing, 'aligning')}
    skipped = {name: reason for name, reason in reasons.items() if reason}
    written = len(missing) - len(skipped)
    skipped |= {name: f'no such picture in {source}' for name in sorted(known.keys() - set(names))}
    lines = [f'{name}\t{reason}\n' for name, reason in skipped.items()]
    replace_text(dest / 'skipped.txt', ''.join(lines))
    print(''.join(lines), end='')
    return dict(written=written, there=len(names) - len(missing), skipped=len(skipped))
