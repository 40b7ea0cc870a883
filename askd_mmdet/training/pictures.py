"""Pictures as files, for every task and tool: which files are pictures, and how one becomes an array."""

import io
import logging
import os
from collections import Counter
from collections.abc import Callable
from contextlib import contextmanager
from math import inf
from pathlib import Path
from struct import Struct

import cv2
import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness
from mmengine.logging import print_log
from mmengine.registry import TRANSFORMS
from PIL import Image, ImageOps, UnidentifiedImageError
from torchvision.io import ImageReadMode, decode_jpeg

from askd_mmdet.training.files import data_hint, replace_bytes, walk
from askd_mmdet.training.settings import check_number, check_type

PICTURES = ('.jpg', '.jpeg', '.png', '.bmp', '.ppm', '.pgm', '.tif', '.tiff', '.webp')  # upper case as well

_ORIENTATION, _TURNED = 0x0112, (5, 6, 7, 8)  # the EXIF tag, and its values that swap width and height
# Segments of JPEGs: a mark, the kind, the length; in a frame also bits, height, width and the number of colours.
_SEGMENT, _FRAMES, _SCAN = Struct('>BBHBHHB'), (0xC0, 0xC1, 0xC2), 0xDA
# Frames, tables, comments and what applications add, but for 0xE1: EXIF or XMP.
_HEADER = {*_FRAMES, 0xC4, 0xDB, 0xDD, 0xFE, 0xE0, *range(0xE2, 0xF0)}
_BITS, _PHOTOMETRIC, _BLACK_IS_ZERO = 258, 262, 1  # tags of TIFF


def find_pictures(
    folder: str | Path, say: Callable[[str], None] | None = None, endings: tuple[str, ...] = PICTURES
) -> list[str]:
    """The pictures below a folder, at any depth, behind links as well.

    What is hidden (`._x.jpg`, `.ipynb_checkpoints`) is passed over.

    Args:
        folder: Where to look; it may be hidden itself.
        say: Gets the line that counts the files with other endings, where there are any; by default the log.
        endings: Of the files that are looked for, in small letters.

    Returns:
        Their names relative to the folder, sorted by folder and file; none where there is no such folder.

    Raises:
        OSError: When a folder cannot be read.
    """
    names, others = [], Counter()
    for path, files in walk(folder, _unless_missing):
        prefix = path.relative_to(folder).as_posix()
        for name in files:
            ending = os.path.splitext(name)[1].lower()
            if name.startswith('.'):
                continue
            if ending in endings:
                names.append(name if prefix == '.' else f'{prefix}/{name}')
            else:
                others[ending or 'none'] += 1
    if others:
        kinds = ', '.join(f'{ending} ({count})' for ending, count in others.most_common(5))
        line = f'{folder}: passed over {others.total()} files that do not end like a picture: {kinds}'
        say(line) if say else print_log(line, 'current')
    return sorted(names, key=lambda name: name.split('/'))


def _unless_missing(error):
    """Without it, a folder that may not be read would be an empty one."""
    if not isinstance(error, FileNotFoundError):
        raise error


def read_text(path: str | Path) -> str:
    """The text of a file in UTF-8, without the mark that some editors begin it with.

    Raises:
        OSError: When it cannot be read.
        ValueError: When it is no text.
    """
    try:
        return Path(path).read_text('utf-8-sig')
    except UnicodeDecodeError as error:
        raise ValueError(f'{path} is no text file in UTF-8: {error}; save it as one') from error


def labelled_pictures(folder: str | Path, ann_file: str | Path = '') -> tuple[list[dict], tuple[str, ...] | None]:
    """Pictures with one label each, from a folder for each class, or from a list.

    Args:
        folder: Of the folders, or what the paths in the list are relative to.
        ann_file: A list, in each line a path, a space and a label from 0; by default there is none.

    Returns:
        A dict of img_path and gt_label for every picture, and the names of the classes, which a list does not tell.

    Raises:
        FileNotFoundError: When there is no such folder or list, or no picture in it.
        ValueError: For a line of another form.
    """
    if not Path(folder).is_dir():
        raise FileNotFoundError(
            f'{folder} is no folder; it should hold the pictures, in a folder for each class: {data_hint(folder)}'
        )
    if ann_file:
        samples, classes = _read_labels(ann_file), None
    else:
        classes = tuple(sorted(p.name for p in Path(folder).iterdir() if p.is_dir() and not p.name.startswith('.')))
        numbers = {name: i for i, name in enumerate(classes)}
        places = [(name, numbers.get(name.split('/')[0])) for name in find_pictures(folder)]
        samples = [(name, label) for name, label in places if label is not None]
        if empty := sorted(set(numbers.values()) - {label for _, label in samples}):
            few = ', '.join(classes[i] for i in empty[:5])
            print_log(f'{folder}: {len(empty)} folders hold no picture, first {few}', 'current', logging.WARNING)
    if not samples:
        expected = "lines of 'path label'" if ann_file else f'a folder for each class with {", ".join(PICTURES)}'
        raise FileNotFoundError(f'{ann_file or folder}: found no picture, expected {expected}')
    return [dict(img_path=os.path.join(folder, name), gt_label=label) for name, label in samples], classes


def _read_labels(path):
    samples = []
    for number, line in enumerate(read_text(path).split('\n'), 1):
        if not line.strip():
            continue
        name, _, label = line.strip().rpartition(' ')
        # Of other scripts' digits Python makes numbers as well.
        if not (name.strip() and label.isascii() and label.isdecimal() and len(label) < 10):
            raise ValueError(f"{path}:{number}: found {line!r}, expected 'path label' with a label from 0")
        samples.append((name.strip(), int(label)))
    return samples


def decode_picture(content: bytes) -> np.ndarray:
    """A picture from its file: upright as its EXIF tag says, 16 bits a pixel scaled to 8, alpha dropped.

    Pillow decodes, and torchvision the JPEGs of three colours, to the same pixels in less time. Both refuse the
    truncated JPEGs that OpenCV fills up with grey.

    Returns:
        BGR, uint8 (H, W, 3), contiguous.

    Raises:
        ValueError: When it is no picture, damaged, or of pixels that have no range (floats, 12 or 32 bits).
    """
    with _named_fault():
        if _is_plain_jpeg(content):
            pixels = _decode_jpeg(content)
        else:
            with _open(io.BytesIO(content)) as picture:
                upright = picture.getexif().get(_ORIENTATION, 1) == 1
                if picture.format == 'JPEG' and picture.mode == 'RGB' and upright:
                    pixels = _decode_jpeg(content)
                else:
                    pixels = _pixels(picture if upright else ImageOps.exif_transpose(picture))
    # Not a view in reverse order, whose every later copy takes five times as long.
    return cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR if pixels.ndim == 2 else cv2.COLOR_RGB2BGR)


def read_picture(path: str | Path) -> np.ndarray:
    """:func:`decode_picture` of a file; raises OSError where it cannot be read."""
    return decode_picture(Path(path).read_bytes())


def write_picture(path: Path, image: np.ndarray) -> None:
    """Write a picture whole or not at all, in the format of its ending, one of `PICTURES`, and nothing but its pixels.

    Args:
        path: The file.
        image: BGR uint8 (H, W, 3).

    Raises:
        OSError: When it cannot be written.
        ValueError: When the format cannot hold it.
    """
    ending = path.suffix.lower()
    kind = '.ppm' if ending == '.pgm' else ending  # which readers tell by the content, and OpenCV refuses for colours
    try:
        is_written, content = cv2.imencode(kind, image, [cv2.IMWRITE_JPEG_QUALITY, 95])
    except cv2.error:
        is_written = False
    if not is_written:
        raise ValueError(f'{path}: a picture {image.shape} cannot be written as {ending}')
    replace_bytes(path, content.tobytes())


def picture_size(path: str | Path) -> tuple[int, int]:
    """Width and height in pixels of the picture that :func:`read_picture` gives, from the file's header alone.

    Raises:
        FileNotFoundError: When there is no such file.
        ValueError: When it cannot be read, or its header is not that of a picture.
    """
    with _named_fault(), _open(path) as picture:
        turned = picture.getexif().get(_ORIENTATION) in _TURNED
        return picture.size[::-1] if turned else picture.size


def _is_plain_jpeg(content):
    """Whether its header says so: a JPEG of three colours, no tag that turns it, of a size that Pillow never suspects.

    Pillow reads it in Python, too, and makes objects of all its tables, in nearly a third of a face's decoding time.
    """
    at, plain = 2, False
    while content[:2] == b'\xff\xd8' and at + _SEGMENT.size <= len(content):
        mark, kind, length, _, height, width, colours = _SEGMENT.unpack_from(content, at)
        if (mark, kind) == (0xFF, _SCAN):
            return plain
        if mark != 0xFF or kind not in _HEADER:
            return False
        if kind in _FRAMES:
            plain = colours == 3 and height * width <= (Image.MAX_IMAGE_PIXELS or inf)
        at += 2 + length
    return False


def _decode_jpeg(content):
    stream = torch.frombuffer(bytearray(content), dtype=torch.uint8)
    return decode_jpeg(stream, ImageReadMode.RGB).permute(1, 2, 0).numpy()


@contextmanager
def _named_fault():
    try:
        yield
    except FileNotFoundError:
        raise
    except UnidentifiedImageError:
        raise ValueError('no picture') from None
    except Exception as error:  # decoders raise whatever a damaged file makes them run into
        raise ValueError(str(error) or type(error).__name__) from error


def _open(source):
    """A Pillow image of pixels that have a range."""
    picture = Image.open(source)
    tags = getattr(picture, 'tag_v2', {})
    whole_range = tags.get(_BITS, (16,)) == (16,) and tags.get(_PHOTOMETRIC, _BLACK_IS_ZERO) == _BLACK_IS_ZERO
    # PPM and PGM of 16 bits have mode I, as have TIFFs of 32 bits.
    sixteen = picture.mode.startswith('I;16') or (picture.mode == 'I' and picture.format == 'PPM')
    if picture.mode == 'F' or (picture.mode.startswith('I') and not (sixteen and whole_range)):
        raise ValueError(f"pixels of Pillow's mode {picture.mode} have no range that is known; save it with 8 bits")
    return picture


def _pixels(picture):
    """uint8 (H, W) of 16 bits of grey, (H, W, 3) of every other mode."""
    if picture.mode.startswith('I'):
        return (np.asarray(picture) >> 8).astype(np.uint8)
    if picture.mode == 'LA':
        # MMCV's ground, on which black things stay visible.
        ground = Image.new('RGBA', picture.size, (124, 117, 104, 255))
        ground.alpha_composite(picture.convert('RGBA'))
        picture = ground
    return np.asarray(picture if picture.mode == 'RGB' else picture.convert('RGB'))  # which copies always


@TRANSFORMS.register_module()
class LoadPicture(BaseTransform):
    """The first transform of every pipeline: a picture as BGR (H, W, 3), None where it cannot be read.

    It is `img` where the data set holds the array, else decoded from `img_bytes`, else from the file `img_path`; see
    :func:`decode_picture`. Adds `img`, `img_shape` and `ori_shape`.

    Args:
        to_float32: float32 instead of uint8, so that a later degradation rounds nothing.
    """

    def __init__(self, to_float32: bool = False):
        check_type('LoadPicture', 'to_float32', to_float32, bool)
        self.to_float32 = to_float32

    def transform(self, results: dict) -> dict | None:
        content = results.pop('img_bytes', None)
        try:
            if 'img' in results:
                image = np.array(results['img'], order='C')  # a copy: later transforms may write into it
            else:
                image = read_picture(results['img_path']) if content is None else decode_picture(content)
        except (OSError, ValueError):
            return None
        results['img'] = image.astype(np.float32) if self.to_float32 else image
        results['img_shape'] = results['ori_shape'] = image.shape[:2]
        return results


@TRANSFORMS.register_module()
class RandomMirror(BaseTransform):
    """Mirror a part of the pictures from left to right, their labels as they are.

    MMCV's RandomFlip with the same draws and traces, but for its `np.random.choice`, which takes a tenth of the time in
    which a small picture is made. Pictures with boxes need MMDetection's RandomFlip.

    Modified and added keys: img (H, W, ...), flip, flip_direction ('horizontal' or None).

    Args:
        prob: Share of the pictures that are mirrored, in [0, 1].

    Raises:
        ValueError: When built, if `prob` is out of its range.
    """

    keeps_draws = True  # for LowResolution: both pictures of a pair are mirrored, or none is
    direction = 'horizontal'

    def __init__(self, prob: float = 0.5):
        check_number('RandomMirror', 'prob', prob, at_least=0, at_most=1)
        self.prob = prob

    def transform(self, results: dict) -> dict:
        """Mirror the picture, as a view, or leave it."""
        flip = self._is_mirrored()
        if flip:
            results['img'] = results['img'][:, ::-1]
        results |= dict(flip=flip, flip_direction=self.direction if flip else None)
        return results

    @cache_randomness
    def _is_mirrored(self):
        return np.random.rand() < self.prob
