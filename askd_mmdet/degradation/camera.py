"""What a camera makes of a scene: blur, a scaler's kernel, noise and JPEG, in random order and strength."""

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from askd_mmdet.degradation.resizing import resize

_KERNELS = cv2.INTER_AREA, cv2.INTER_LINEAR, cv2.INTER_CUBIC
_POINTS = np.linspace(-1, 1, 33)  # of a line of motion, in halves of its length


@dataclass(frozen=True)
class Camera:
    """Of what strength a camera's faults are; each pair is a range from which every picture draws evenly.

    Args:
        defocus: Standard deviations of the lens's blur along its two axes, in LR pixels.
        moving: How probable it is that camera or scene move; the blur is then a line instead.
        motion: Length of that line in LR pixels, in any direction.
        read: Standard deviation of the noise in the dark, in grey levels. A scaler that comes later averages noise.
        shot: Variance of the noise per grey level of brightness, in grey levels: what photons add.
        quality: Of the JPEG.
        twice: How probable it is that the picture was compressed before, somewhere on its way.
    """

    defocus: tuple[float, float]
    moving: float
    motion: tuple[float, float]
    read: tuple[float, float]
    shot: tuple[float, float]
    quality: tuple[int, int]
    twice: float


# This project's choice, by eye; but for motion, which it lacks, within the ranges that blind super-resolution trains
# on (BSRGAN, Real-ESRGAN: 2021).
CAMERAS = {
    'mild': Camera((0.1, 0.6), 0.1, (1, 2), (0, 3), (0, 0.1), (70, 95), 0.1),
    'surveillance': Camera((0.2, 1.2), 0.3, (1, 4), (2, 10), (0.05, 0.5), (30, 80), 0.3),
    'drone': Camera((0.2, 0.8), 0.6, (2, 6), (1, 6), (0.05, 0.3), (40, 85), 0.3),
}


def photograph(image: np.ndarray, size: tuple[int, int], camera: Camera, rng: np.random.Generator) -> np.ndarray:
    """A small picture of a scene, as a camera delivers it.

    The scene is brought to one to one and a half times the size, antialiased. Blur, a scaler to the size with a kernel
    drawn at random, noise and a first JPEG follow in random order, as in BSRGAN (Zhang et al., 2021), and the last JPEG
    at the end. Nothing moves: what is in the middle of a pixel stays there.

    Args:
        image: uint8, (H, W, 1) or (H, W, 3), any view.
        size: Height and width of the result, neither larger than the image's.
        camera: See :class:`Camera`.
        rng: Decides about everything.

    Returns:
        uint8, (height, width, C).

    Raises:
        TypeError: The image is of another type: no camera delivers it.
        ValueError: It has neither one nor three channels.

    Example:
        >>> scene = np.full((8, 8, 3), 100, np.uint8)
        >>> photograph(scene, (4, 4), CAMERAS['mild'], np.random.default_rng(0)).shape
        (4, 4, 3)
    """
    check_photographable(image)
    between = np.minimum(np.rint(rng.uniform(1, 1.5) * np.array(size)).astype(int), image.shape[:2]).tolist()
    picture = resize(np.require(image, requirements='CW'), between, mode='bilinear', antialias=True)
    steps = [_blurred, _scaled, _noisy, *[_compressed] * (rng.random() < camera.twice)]
    for i in rng.permutation(len(steps)):
        picture = steps[i](picture, size, camera, rng)
    return _compressed(picture, size, camera, rng).reshape(*size, image.shape[2])


def check_photographable(image: np.ndarray) -> None:
    """Raise what :func:`photograph` does for an image (H, W, C) that no camera delivers."""
    if image.dtype != np.uint8:
        raise TypeError(f"found an image of type {image.dtype}, expected uint8: the recipe 'camera' ends with a JPEG")
    if image.shape[2] not in (1, 3):
        raise ValueError(f"found {image.shape[2]} channels, expected 1 or 3: the recipe 'camera' ends with a JPEG")


def _blurred(picture, size, camera, rng):
    """Blurred by the lens, or along a line."""
    pixels = np.divide(picture.shape[:2], size)  # of this picture in one of the small one, down and across
    if rng.random() >= camera.moving:
        across, down = pixels[::-1] * rng.uniform(*camera.defocus, 2)
        return cv2.GaussianBlur(picture, (0, 0), across, sigmaY=down)
    reach = pixels * rng.uniform(*camera.motion) / 2
    angle = rng.uniform(0, np.pi)
    ends = reach * (np.sin(angle), np.cos(angle))
    # OpenCV draws lines of floats without antialiasing. Every point of this one is shared by the pixels around it.
    side = int(max(abs(ends))) + 1
    places = np.arange(-side, side + 1)[:, None]
    rows, columns = (np.maximum(0, 1 - abs(places - end * _POINTS)) for end in ends)
    return cv2.filter2D(picture, -1, rows @ columns.T / len(_POINTS))


def _scaled(picture, size, camera, rng):
    return cv2.resize(picture, size[::-1], interpolation=int(rng.choice(_KERNELS)))


@lru_cache
def _normals():
    """Numbers with which all noise is made: drawing them anew costs more than all the rest."""
    return np.random.default_rng(0).standard_normal(2**20, np.float32)


def _noisy(picture, size, camera, rng):
    read, shot = rng.uniform(*camera.read), rng.uniform(*camera.shot)
    deviation = np.sqrt(read**2 + shot * np.arange(256, dtype=np.float32))
    bank = _normals()
    # Some rows at a time, whose numbers begin anywhere, so that no two pictures have one pattern at the same place.
    noisy, rows = np.empty_like(picture), max(1, 2**15 // picture[0].size)
    for top in range(0, len(picture), rows):
        part = picture[top : top + rows]
        start = rng.integers(len(bank) - part.size)
        noise = cv2.LUT(part, deviation).reshape(part.shape) * bank[start : start + part.size].reshape(part.shape)
        noisy[top : top + rows] = cv2.add(part, noise, dtype=cv2.CV_8U).reshape(part.shape)
    return noisy


def _compressed(picture, size, camera, rng):
    quality = int(rng.integers(*camera.quality, endpoint=True))
    _, file = cv2.imencode('.jpg', picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return cv2.imdecode(file, cv2.IMREAD_UNCHANGED).reshape(picture.shape)
