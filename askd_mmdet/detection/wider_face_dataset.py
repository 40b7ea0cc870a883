"""WIDER FACE as it is downloaded: the original text annotation and the original folders."""

import warnings
from itertools import accumulate, islice
from pathlib import Path

import numpy as np
from mmdet.datasets import BaseDetDataset
from mmdet.registry import DATASETS
from mmengine.logging import print_log

from askd_mmdet.detection.wider_face_protocol import FURTHEST, IMAGE_NAME, in_reach
from askd_mmdet.training.files import data_hint
from askd_mmdet.training.settings import check_type
from askd_mmdet.training.unreadable import ReplacesUnreadable

LAYOUT = """\
<data root>/
  WIDER_train/images/<event>/*.jpg
  WIDER_val/images/<event>/*.jpg
  wider_face_split/wider_face_train_bbx_gt.txt
  wider_face_split/wider_face_val_bbx_gt.txt
  eval_tools/ground_truth/wider_face_val.mat
  eval_tools/ground_truth/wider_easy_val.mat
  eval_tools/ground_truth/wider_medium_val.mat
  eval_tools/ground_truth/wider_hard_val.mat"""

_COLUMNS = 'x y width height blur expression illumination invalid occlusion pose'
_INVALID = 3  # among the attributes: blur, expression, illumination, invalid, occlusion, pose
_CHARACTERS = b'0123456789- \t\n'
_ZEROS = ['0'] * 10
# Images whose faces are read at once: enough to be quick, and few enough for a cache.
_IMAGES = 1024
# Of a picture that stands in, in pixels: more than nearly all pictures of WIDER FACE, and at most 50 MB.
_LONGEST_SIDE = 4096


def read_annotations(path: str | Path) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Read `wider_face_{train,val}_bbx_gt.txt`, with line endings of any system and with or without a byte order mark.

    An image is a line with its name, a line with its number of faces, and a line of ten integers
    for each face. An image without a face may have a line of zeros instead, as in the official files.

    Returns:
        For every image its name (`event/name.jpg`), its boxes as x, y, width and height in pixels
        (float32, (N, 4)), and for every face blur, expression, illumination, invalid, occlusion
        and pose (int32, (N, 6)). Sizes are as in the file, where some are 0 and a few negative.

    Raises:
        ValueError: When a line is missing or not what it should be, a box reaches further than
            `FURTHEST`, or invalid is neither 0 nor 1.
    """
    images, heads, rows = [], [], []
    # A damaged byte makes its line wrong instead of the file unreadable.
    with open(path, encoding='utf-8-sig', errors='replace') as file:
        try:
            for head in _find_images(file, rows):
                heads.append(head)
                if len(heads) == _IMAGES:
                    images += _read_images(file, heads, rows)
                    heads.clear()
                    rows.clear()
        finally:  # also where a line is wrong: a face before it may be so, too
            images += _read_images(file, heads, rows)
    return images


def _find_images(file, rows):
    """For every image its name, the number of the next line, and its number of faces, whose lines go to `rows`."""
    number, line = 1, next(file, '')
    while number == 1 or not _is_end(file, line):
        name = line.strip()
        if not IMAGE_NAME.fullmatch(name):
            raise _fault(file, number, line, 'the name of an image, event/name.jpg (or the count before is wrong)')
        number, line = number + 1, next(file, '')
        count = line.strip()
        if not (count.isascii() and count.isdigit() and len(count) < 10):
            raise _fault(file, number, line, f'the number of faces of {name}')
        count = int(count)
        head = name, number, count
        before = len(rows)
        rows += islice(file, count)
        found = len(rows) - before
        yield head
        number += 1 + found
        if found < count:
            raise _fault(file, number, '', _face_of(*head))
        line = next(file, '')
        if not count and '/' not in line and not _is_end(file, line):
            if line.split() != _ZEROS:
                raise _fault(file, number, line, f'ten zeros, as {name} has no face, or the next image')
            number, line = number + 1, next(file, '')


def _is_end(file, line):
    """Whether nothing but empty lines follows, with this one."""
    return not line.strip() and not file.read().strip()


def _fault(file, number, line, expected):
    found = repr(line.rstrip('\n')) if line else 'the end of the file'
    return ValueError(
        f'{file.name}:{number}: found {found}, expected {expected}; '
        'unpack wider_face_split.zip of the WIDER FACE download again'
    )


def _read_images(file, heads, rows):
    """What :func:`read_annotations` returns, of some images and their faces' lines as :func:`_find_images` has them."""
    # All faces at once: a call for each of them would take many times as long.
    table = _read_faces(rows)
    ends = list(accumulate((count for *_, count in heads), initial=0))
    if table is None:
        raise next(
            _fault(file, number + i, row, _face_of(name, number, count))
            for (name, number, count), start in zip(heads, ends)
            for i, row in enumerate(rows[start : start + count], 1)
            if _read_faces([row]) is None
        )
    boxes, attributes = table[:, :4].astype(np.float32), table[:, 4:]
    return [(name, boxes[i:j], attributes[i:j]) for (name, *_), i, j in zip(heads, ends, ends[1:])]


def _face_of(name, number, count):
    return (
        f'{_COLUMNS} of a face of {name}, which line {number} says has {count}, '
        f'no box beyond {FURTHEST} pixels and invalid 0 or 1'
    )


def _read_faces(lines):
    """The ten integers of every line, int32, (N, 10), or None where one is not a face."""
    if not lines:
        return np.zeros((0, 10), np.int32)
    # NumPy would take '+1', '1.0' and '1e3' as well.
    if '\n'.join(lines).encode().translate(None, _CHARACTERS):
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('error')  # of numbers that overflow, and of empty lines
            table = np.loadtxt(lines, np.int32, comments=None, ndmin=2)
    except (ValueError, Warning):
        return None
    if table.shape != (len(lines), 10) or not in_reach(table[:, :4]):
        return None
    invalid = table[:, 4 + _INVALID]
    return table if ((invalid == 0) | (invalid == 1)).all() else None


@DATASETS.register_module()
class WiderFaceTxtDataset(ReplacesUnreadable, BaseDetDataset):
    """WIDER FACE, read from the text annotation (mmdet's WIDERFaceDataset reads XML).

    Faces that the annotation calls invalid are trained as faces, as in TinaFace's own code; with
    `ignore_invalid`, their key `ignore_flag` is set. It always is in testing: the official evaluation
    counts none of them. Faces without width or height are left out. With
    `filter_cfg=dict(filter_empty_gt=True)`, training leaves out the images without a face that counts.

    A picture that cannot be read stops nothing, see `ReplacesUnreadable`, where the pipeline begins with
    `LoadPicture`.

    Args:
        data_root: Folder of the download, see `LAYOUT`.
        ann_file: Text annotation, relative to `data_root`.
        data_prefix: `dict(img_path=...)`, the folder of the events, relative to `data_root`.
        ignore_invalid: Ignore faces marked invalid in training.
        **kwargs: See MMEngine's BaseDataset.

    Raises:
        FileNotFoundError: When a file or folder is missing.
        ValueError: When the annotation is malformed, or `ignore_invalid` is no bool.
        RuntimeError: When `max_refetch` images in a row are unreadable or left out by a transform.
    """

    METAINFO = dict(classes=('face',))

    def __init__(self, *args, ignore_invalid: bool = False, **kwargs):
        check_type('WiderFaceTxtDataset', 'ignore_invalid', ignore_invalid, bool)
        # Before the parent, which loads the data.
        self.ignore_invalid = ignore_invalid
        super().__init__(*args, **kwargs)

    def load_data_list(self) -> list[dict]:
        """One dict for every image: img_path, img_id (its number in the annotation), instances."""
        folder = self.data_prefix.get('img_path')
        for path, is_there in ((self.data_root, Path.is_dir), (self.ann_file, Path.is_file), (folder, Path.is_dir)):
            if path is None or not is_there(Path(path)):
                raise FileNotFoundError(
                    f'{path} does not exist; WIDER FACE should lie as\n{LAYOUT}\n'
                    f'{data_hint(self.data_root or "")}; "{self.check_tool}" says what is missing'
                )
        ignores = self.ignore_invalid or self.test_mode
        data_list = []
        without_size = 0
        for img_id, (name, boxes, attributes) in enumerate(read_annotations(self.ann_file)):
            sized = (boxes[:, 2:] > 0).all(1)
            without_size += (~sized).sum()
            boxes[:, 2:] += boxes[:, :2]
            instances = [
                dict(bbox=box, bbox_label=0, ignore_flag=int(ignores and invalid))
                for box, invalid in zip(boxes[sized].tolist(), attributes[sized, _INVALID].tolist())
            ]
            data_list.append(dict(img_path=f'{Path(folder, name)}', img_id=img_id, instances=instances))
        if without_size:
            print_log(f'left out {without_size} faces without width or height in {self.ann_file}', 'current')
        return data_list

    def filter_data(self) -> list[dict]:
        """Leave out training images without a face that counts, where `filter_cfg` says so."""
        if self.test_mode or not (self.filter_cfg or {}).get('filter_empty_gt'):
            return self.data_list
        return [info for info in self.data_list if any(not instance['ignore_flag'] for instance in info['instances'])]

    @property
    def check_tool(self) -> str:
        return f'askd check {self.data_root}'

    def stand_in(self, info: dict) -> dict:
        """What the loader would add for a black picture that holds all boxes, or those within `_LONGEST_SIDE` pixels.

        No evaluation depends on its size: the metrics take the faces from the ground truth or from `instances`,
        and all of them count as missed.
        """
        corners = np.array([instance['bbox'][2:] for instance in info['instances']]).reshape(-1, 2)
        width, height = np.ceil(corners.max(0, initial=64)).clip(max=_LONGEST_SIDE).astype(int).tolist()
        return dict(img=np.zeros((height, width, 3), np.uint8), img_shape=(height, width), ori_shape=(height, width))
