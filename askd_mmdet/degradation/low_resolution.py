"""From HR to LR: sec. 3.1 and fig. 2 of A-SKD, what the authors' code does instead, and what a camera does."""

import zlib

import cv2
import numpy as np

from askd_mmdet.degradation.camera import CAMERAS, check_photographable, photograph
from askd_mmdet.degradation.resizing import resize
from askd_mmdet.training.settings import check_choice, check_number, check_numbers

CAMERA_RECIPES = {'camera': tuple(CAMERAS), **{f'camera-{name}': (name,) for name in CAMERAS}}
RECIPES = ('paper', 'authors', *CAMERA_RECIPES)


def low_resolution(
    image: np.ndarray,
    ratio: float | None = None,
    size: int | tuple[int, int] | None = None,
    *,
    sigma: float = 0.5,
    recipe: str = 'paper',
    rng: np.random.Generator | None = None,
) -> np.ndarray:
    """Degrade an image to a lower resolution, at its own size (sec. 3.1).

    The recipe `'paper'` reduces the image by bicubic interpolation with antialiasing (the kernel of
    the super-resolution protocols: a = -0.5, as in Matlab and PIL), blurs the small image with a
    Gaussian, and enlarges it with the same bicubic kernel. The recipe `'authors'` is the one of the
    published code: nearest neighbour down and up, then a Gaussian with the standard deviations
    0.1 (x) and 2.0 (y) at full size. Both Gaussians have 5x5 taps and reflect at the border.

    Neither is what a camera delivers. The recipes `'camera-mild'`, `'camera-surveillance'` and
    `'camera-drone'` blur, resample, add noise and compress in random order and strength, see
    `photograph`, and enlarge as `'paper'` does; `'camera'` draws one of them for every picture.
    Ratio 1 is HR with these, too.

    Args:
        image: (H, W) or (H, W, C), any C, of type uint8, uint16, float32 or float64.
        ratio: HR size over LR size, >= 1. The LR image has max(1, round(H / ratio)) rows, and
            columns likewise.
        size: Instead of `ratio`, the LR size in pixels: (height, width), or one number for both
            (24 is the TinyFace setting of table 2). A side that is already smaller is kept.
        sigma: Standard deviation of the blur of `'paper'` in LR pixels, 0 for no blur. The paper
            gives none; 0.5 is this project's choice. `'authors'` has its own and ignores it.
        recipe: One of `RECIPES`. Those of cameras take uint8 images of one or three channels.
        rng: What a camera draws from; by default a generator that the pixels seed, so that the
            same picture always comes out the same.

    Returns:
        A new image of the same shape and type. Integers are rounded and clipped to their range, a
        uint8 image already when it is small, as an LR file would be. Floats are not clipped, and
        bicubic interpolation overshoots at edges. An image whose LR size is its own size comes
        back as it was, without blur: ratio 1 is the HR row of table 5.

    Raises:
        TypeError: The image is no array of one of the four types, or none of a camera's.
        ValueError: The image has no pixel or not 2 or 3 axes, or a setting is out of its range.

    Example:
        >>> import numpy as np
        >>> stripes = np.tile(np.uint8([0, 0, 200, 200]), (4, 1))
        >>> low_resolution(stripes, ratio=4)
        array([[100, 100, 100, 100],
               [100, 100, 100, 100],
               [100, 100, 100, 100],
               [100, 100, 100, 100]], dtype=uint8)
    """
    check_settings('low_resolution', ratio, size, sigma, recipe)
    pixels = _pixels(image)
    hr_size = image.shape[:2]
    if size is None:
        lr_size = tuple(max(1, round(side / ratio)) for side in hr_size)
    else:
        lr_size = tuple(np.minimum(size, hr_size).tolist())
    if recipe in CAMERA_RECIPES:
        check_photographable(pixels)
    if lr_size == hr_size:
        return image.copy()

    if recipe in CAMERA_RECIPES:
        rng = rng or np.random.default_rng(zlib.crc32(pixels))
        small = photograph(pixels, lr_size, CAMERAS[rng.choice(CAMERA_RECIPES[recipe])], rng)
    elif recipe == 'paper':
        small = resize(pixels, lr_size, mode='bicubic', antialias=True)
        if sigma:
            small = _blur(small, sigma, sigma)
    else:
        small = resize(pixels, lr_size, mode='nearest')
    return _like(image, _enlarge(small, hr_size, recipe))


def enlarge(image: np.ndarray, size: int | tuple[int, int], *, recipe: str = 'paper') -> np.ndarray:
    """Bring a picture that is small by itself to the HR size, as `low_resolution` does with its small image.

    A network that was trained on degraded pictures so sees real LR ones through the kernel it knows: the bicubic one of
    `'paper'` and of the cameras (a = -0.5, where OpenCV's cubic has -0.75 and torch's too without antialiasing), or the
    nearest neighbour and the Gaussian of `'authors'`. There is no other blur: the camera has blurred.

    Args:
        image: As in `low_resolution`.
        size: The HR size in pixels: (height, width), or one number for both. A side that is larger is reduced, by
            `'paper'` with antialiasing.
        recipe: One of `RECIPES`.

    Returns:
        A new image of this size, of the same type; a copy where the image has it already.

    Raises:
        TypeError, ValueError: See `low_resolution`.

    Example:
        >>> import numpy as np
        >>> enlarge(np.uint8([[0, 200]]), (1, 4))
        array([[  0,  41, 159, 218]], dtype=uint8)
    """
    check_settings('enlarge', None, size, 0, recipe)
    pixels = _pixels(image)
    size = tuple(np.broadcast_to(size, 2).tolist())
    if size == image.shape[:2]:
        return image.copy()
    return _like(image, _enlarge(pixels, size, recipe))


def check_settings(owner, ratio, size, sigma, recipe):
    """Raise ValueError, which names the owner of the settings, unless `low_resolution` can work with them.

    Example:
        >>> check_settings('LowResolution', ratio=0.25, size=None, sigma=0.5, recipe='paper')
        Traceback (most recent call last):
        ValueError: LowResolution: found ratio=0.25, expected at least 1
    """
    if (ratio is None) == (size is None):
        raise ValueError(f'{owner}: found ratio={ratio} and size={size}, expected exactly one of the two')
    if size is None:
        check_number(owner, 'ratio', ratio, at_least=1)
    elif np.ndim(size):
        check_numbers(owner, 'size', size, count=2, whole=True, at_least=1)
    else:
        check_number(owner, 'size', size, whole=True, at_least=1)
    check_number(owner, 'sigma', sigma, at_least=0)
    check_choice(owner, 'recipe', recipe, RECIPES)


def _pixels(image):
    """The image as (H, W, C), in a type in which torch and OpenCV compute; raises where there can be none."""
    if getattr(image, 'dtype', None) not in (np.uint8, np.uint16, np.float32, np.float64):
        found = getattr(image, 'dtype', type(image).__name__)
        raise TypeError(
            f'found an image of type {found}, expected uint8, uint16, float32 or float64: '
            f'convert it before the degradation'
        )
    if image.ndim not in (2, 3) or not image.size:
        raise ValueError(f'found an image of shape {image.shape}, expected (H, W) or (H, W, C) with pixels')
    pixels = image.astype(np.float32) if image.dtype == np.uint16 else image
    return np.require(pixels, requirements='CW').reshape(*image.shape[:2], -1)


def _like(image, pixels):
    """What :func:`_pixels` made of an image, computed upon, in the image's axes and type."""
    if image.dtype == np.uint16:
        pixels = pixels.round().clip(0, 65535).astype(np.uint16)
    return pixels.reshape(*pixels.shape[:2], *image.shape[2:])


def _enlarge(small, size, recipe):
    if recipe == 'authors':
        return _blur(resize(small, size, mode='nearest'), 0.1, 2.0)
    return resize(small, size, mode='bicubic', antialias=True)


def _blur(image, sigma_x, sigma_y):
    blurred = cv2.GaussianBlur(image, (5, 5), sigma_x, sigmaY=sigma_y, borderType=cv2.BORDER_REFLECT_101)
    return blurred.reshape(image.shape)  # OpenCV drops an axis of one channel
