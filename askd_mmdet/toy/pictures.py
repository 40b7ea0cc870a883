"""A small ImageNet: one class for each of nine real photographs from scikit-image's wheel.

Nothing is downloaded. A picture is a piece of its class's photograph, grey and of random brightness
and contrast, so that its fine texture tells the class: what low resolution takes away.
"""

from functools import cache
from pathlib import Path

import cv2
import numpy as np
from skimage import io

from askd_mmdet.toy.folder import check, check_whole, encode_jpeg, write_folder
from askd_mmdet.toy.wider_face import SPLITS, part_of, resize, skimage_file

# Photographs that look alike from left to right, since training sees the left and validation the right.
CLASSES = {
    'brick': 'brick.png',
    'coins': 'coins.png',
    'galaxies': 'hubble_deep_field.jpg',
    'grass': 'grass.png',
    'gravel': 'gravel.png',
    'handwriting': 'text.png',
    'moon': 'moon.png',
    'print': 'page.png',
    'tissue': 'ihc.png',
}

# Of a piece: its least and greatest side in pixels of the photograph, its greatest angle in degrees.
_SIDES, _ANGLE = (56, 100), 15
# To be raised when the same arguments come to give other files.
_GENERATOR = 'picture classes 1'


@cache
def photograph(name: str, split: str) -> np.ndarray:
    """What a split may show of a class's photograph: uint8, (H, W), grey."""
    pixels = io.imread(skimage_file(CLASSES[name]))  # unlike OpenCV it reads page.png without a warning
    return part_of(pixels if pixels.ndim == 2 else cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), split, axis=1)


def draw_piece(name: str, split: str, index: int, size: int, seed: int) -> np.ndarray:
    """Draw picture `index` of a class and a split, which depends on no other picture.

    Args:
        name: A key of `CLASSES`.
        split: 'train' or 'val'.
        index: From 0.
        size: Height and width in pixels.
        seed: From 0.

    Returns:
        uint8, (size, size), grey.

    Example:
        >>> draw_piece('grass', 'train', 0, size=32, seed=0).shape
        (32, 32)
    """
    rng = np.random.default_rng([seed, SPLITS.index(split), list(CLASSES).index(name), index])
    source = photograph(name, split)
    side, angle = int(rng.integers(_SIDES[0], _SIDES[1] + 1)), rng.uniform(-_ANGLE, _ANGLE)
    # A window that holds the piece at its angle.
    window = int(np.ceil(side * (np.cos(np.radians(angle)) + np.sin(np.radians(abs(angle)))))) + 2
    y, x = rng.integers(0, np.subtract(source.shape, window) + 1)
    turn = cv2.getRotationMatrix2D(((window - 1) / 2,) * 2, angle, 1)
    turn[:, 2] -= (window - side) / 2
    piece = cv2.warpAffine(source[y : y + window, x : x + window].astype(np.float32), turn, (side, side))
    piece = resize(piece[:, :: rng.choice((-1, 1))], (size, size))
    brightness, contrast = rng.uniform((90, 25), (165, 50))
    # The least contrast keeps noise in the dark of space from looking like a texture.
    piece = brightness + contrast * (piece - piece.mean()) / max(piece.std(), 4)
    return piece.round().clip(0, 255).astype(np.uint8)


def make_picture_classes(
    root: str | Path,
    train_pictures: int = 40,
    val_pictures: int = 20,
    size: int = 64,
    seed: int = 0,
    force: bool = False,
) -> dict[str, int]:
    """Write a toy ImageNet, ``{train,val}/<class>/*.jpg``, where there is none yet.

    ``toy.json`` holds the arguments. The same arguments give the same bytes, and picture i is the
    same however many there are. The folder appears when it is complete, and not before.

    Args:
        root: Folder to write; it must not exist, be empty, or hold a toy set.
        train_pictures: Number of training pictures of each class.
        val_pictures: Number of validation pictures of each class, which show another part of its
            photograph.
        size: Height and width of the pictures in pixels.
        seed: Any integer from 0.
        force: Replace a toy set that was made with other arguments.

    Returns:
        How many there are: ``classes``, ``train_images`` and ``val_images``.

    Raises:
        ValueError: When an argument is out of range.
        FileExistsError: When root holds anything else, or a toy set with other arguments and
            `force` is not set.
        FileNotFoundError: When scikit-image lacks a picture.
    """
    counts = dict(train=train_pictures, val=val_pictures)
    check_whole(train_pictures=train_pictures, val_pictures=val_pictures, size=size, seed=seed)
    check(
        (train_pictures >= 1, 'train_pictures', train_pictures, 'at least 1'),
        (val_pictures >= 1, 'val_pictures', val_pictures, 'at least 1'),
        (size >= 16, 'size', size, 'at least 16 pixels'),
        (seed >= 0, 'seed', seed, 'at least 0'),
    )

    def write(folder):
        for split, count in counts.items():
            for name in CLASSES:
                (folder / split / name).mkdir(parents=True)
                for index in range(count):
                    jpeg = encode_jpeg(draw_piece(name, split, index, size, seed))
                    (folder / split / name / f'{name}_{index}.jpg').write_bytes(jpeg)
        return dict(classes=len(CLASSES), **{f'{split}_images': len(CLASSES) * counts[split] for split in SPLITS})

    arguments = dict(
        generator=_GENERATOR, train_pictures=train_pictures, val_pictures=val_pictures, size=size, seed=seed
    )  # fmt: skip
    return write_folder(root, arguments, write, force)
