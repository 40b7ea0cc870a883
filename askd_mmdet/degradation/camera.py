"""What a camera makes of a scene: blur, kernels of its scaler, noise and JPEG, in random order and strength."""

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

_KERNELS = cv2.INTER_AREA, cv2.INTER_LINEAR, cv2.INTER_CUBIC


@dataclass(frozen=True)
class Camera:
    """Of what strength a camera's faults are; each pair is a range from which every picture draws evenly.

    Args:
        defocus: Standard deviations of the lens's blur along its two axes, in LR pixels.
        moving: How probable it is that camera or scene move; the blur is then a line instead.
        motion: Length of that line in LR pixels, in any direction.
        read: Standard deviation of the noise in the dark, in grey levels.
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


# This project's choice, by eye, within the ranges that blind super-resolution trains on (BSRGAN, Real-ESRGAN: 2021).
CAMERAS = {
    'mild': Camera((0.1, 0.6), 0.1, (1, 2), (0, 3), (0, 0.1), (70, 95), 0.1),
    'surveillance': Camera((0.2, 1.2), 0.3, (1, 4), (2, 10), (0.05, 0.5), (30, 80), 0.3),
    'drone': Camera((0.2, 0.8), 0.6, (2, 6), (1, 6), (0.05, 0.3), (40, 85), 0.3),
}


def photograph(image: np.ndarray, size: tuple[int, int], camera: Camera, rng: np.random.Generator) -> np.ndarray:
    """A small picture of a scene, as a camera delivers it.

    The scene is brought to twice the size by its mean, and to the size by a kernel drawn at random. Blur, noise and a
    first JPEG follow in random order, as in BSRGAN (Zhang et al., 2021), and the last JPEG at the end.

    Args:
        image: uint8, (H, W, 1) or (H, W, 3).
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
    if image.dtype != np.uint8:
        raise TypeError(f"found an image of type {image.dtype}, expected uint8: the recipe 'camera' ends with a JPEG")
    if image.shape[2] not in (1, 3):
        raise ValueError(f"found {image.shape[2]} channels, expected 1 or 3: the recipe 'camera' ends with a JPEG")
    height, width = np.minimum(2 * np.array(size), image.shape[:2]).tolist()
    picture = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    picture = cv2.resize(picture, size[::-1], interpolation=int(rng.choice(_KERNELS)))
    steps = [_blurred, _noisy, *[_compressed] * (rng.random() < camera.twice)]
    for i in rng.permutation(len(steps)):
        picture = steps[i](picture, camera, rng)
    return _compressed(picture, camera, rng).reshape(*size, image.shape[2])


def _blurred(picture, camera, rng):
    """Blurred by the lens, or along a line."""
    if rng.random() >= camera.moving:
        across, down = rng.uniform(*camera.defocus, 2)
        return cv2.GaussianBlur(picture, (0, 0), across, sigmaY=down)
    reach = rng.uniform(*camera.motion) / 2
    angle = rng.uniform(0, np.pi)
    side = int(np.ceil(reach))
    kernel = np.zeros((2 * side + 1, 2 * side + 1), np.float32)
    end = reach * np.cos(angle), reach * np.sin(angle)
    ends = [[round(16 * (side + sign * part)) for part in end] for sign in (-1, 1)]
    cv2.line(kernel, *ends, 1.0, lineType=cv2.LINE_AA, shift=4)
    return cv2.filter2D(picture, -1, kernel / kernel.sum())


@lru_cache
def _normals():
    """Numbers with which all noise is made: drawing them anew costs more than all the rest."""
    return np.random.default_rng(0).standard_normal(2**20, np.float32)


def _noisy(picture, camera, rng):
    read, shot = rng.uniform(*camera.read), rng.uniform(*camera.shot)
    deviation = np.sqrt(read**2 + shot * np.arange(256, dtype=np.float32))
    bank = _normals()
    start = rng.integers(max(len(bank) - picture.size, 1))
    numbers = np.resize(bank[start : start + picture.size], picture.shape)
    return cv2.add(picture, cv2.LUT(picture, deviation) * numbers, dtype=cv2.CV_8U)


def _compressed(picture, camera, rng):
    quality = int(rng.integers(*camera.quality, endpoint=True))
    _, file = cv2.imencode('.jpg', picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return cv2.imdecode(file, cv2.IMREAD_UNCHANGED).reshape(picture.shape)
