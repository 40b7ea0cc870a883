"""WIDER FACE as it is downloaded: the original text annotation and the original folders."""

from pathlib import Path

import numpy as np
from mmdet.datasets import BaseDetDataset
from mmdet.registry import DATASETS
from mmengine.logging import print_log

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


def read_annotations(path: str | Path) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Read `wider_face_{train,val}_bbx_gt.txt`, with line endings of any system.

    An image is a line with its name, a line with its number of faces, and a line of ten integers
    for each face, or a line of zeros where there is no face.

    Returns:
        For every image its name (`event/name.jpg`), its boxes as x, y, width and height in pixels
        (float32, (N, 4)), and for every face blur, expression, illumination, invalid, occlusion
        and pose (int64, (N, 6)). Sizes are as in the file, where some are 0 and a few negative.

    Raises:
        ValueError: When a line is missing or not what it should be.
    """
    # A damaged byte makes its line wrong instead of the file unreadable.
    text = Path(path).read_text(encoding='utf-8', errors='replace')
    lines = text.rstrip().split('\n')

    def fail(number, expected):
        found = repr(lines[number - 1]) if number <= len(lines) else 'the end of the file'
        raise ValueError(
            f'{path}:{number}: found {found}, expected {expected}; '
            'unpack wider_face_split.zip of the WIDER FACE download again'
        )

    def integers(number, shape, expected):
        try:
            return np.array(lines[number - 1].split(), np.int64).reshape(shape)
        except (IndexError, ValueError, OverflowError):
            fail(number, expected)

    images = []
    number = 1
    while number <= len(lines):
        name = lines[number - 1].strip()
        if '/' not in name:
            fail(number, 'the name of an image, event/name.jpg (or the count before is wrong)')
        expected = f'the number of faces of {name}'
        count = integers(number + 1, (), expected)
        if count < 0:
            fail(number + 1, expected)
        expected = f'{_COLUMNS} of a face of {name}, which line {number + 1} says has {count}'
        faces = [integers(number + 2 + i, 10, expected) for i in range(count)]
        expected = f'ten zeros, as {name} has no face'
        if not count and integers(number + 2, 10, expected).any():
            fail(number + 2, expected)
        faces = np.array(faces, np.int64).reshape(-1, 10)
        images.append((name, faces[:, :4].astype(np.float32), faces[:, 4:]))
        number += 2 + max(count, 1)
    return images


@DATASETS.register_module()
class WiderFaceTxtDataset(ReplacesUnreadable, BaseDetDataset):
    """WIDER FACE, read from the text annotation (mmdet's WIDERFaceDataset reads XML).

    A face has the key `ignore_flag` set where the annotation calls it invalid. Faces without width
    or height are left out. With `filter_cfg=dict(filter_empty_gt=True)`, training leaves out the
    images without a face that counts.

    A picture that cannot be read stops nothing, see `ReplacesUnreadable`, where the pipeline begins with
    `LoadPicture`.

    Args:
        data_root: Folder of the download, see `LAYOUT`.
        ann_file: Text annotation, relative to `data_root`.
        data_prefix: `dict(img_path=...)`, the folder of the events, relative to `data_root`.
        **kwargs: See MMEngine's BaseDataset.

    Raises:
        FileNotFoundError: When a file or folder is missing.
        ValueError: When the annotation is malformed.
        RuntimeError: When `max_refetch` images in a row are unreadable or left out by a transform.
    """

    METAINFO = dict(classes=('face',))

    def load_data_list(self) -> list[dict]:
        """One dict for every image: img_path, img_id (its number in the annotation), instances."""
        folder = self.data_prefix.get('img_path')
        for path, is_there in ((self.data_root, Path.is_dir), (self.ann_file, Path.is_file), (folder, Path.is_dir)):
            if path is None or not is_there(Path(path)):
                raise FileNotFoundError(
                    f'{path} does not exist; WIDER FACE should lie as\n{LAYOUT}\n'
                    'set data_root in the config to that folder; '
                    f'"{self.check_tool}" says what is missing'
                )
        data_list = []
        without_size = 0
        for img_id, (name, boxes, attributes) in enumerate(read_annotations(self.ann_file)):
            sized = (boxes[:, 2:] > 0).all(1)
            without_size += (~sized).sum()
            boxes[:, 2:] += boxes[:, :2]
            instances = [
                dict(bbox=box, bbox_label=0, ignore_flag=invalid)
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
        return f'python tools/check_wider_face.py {self.data_root}'

    def stand_in(self, info: dict) -> dict:
        """What the loader would add for a black picture that holds all boxes."""
        corners = np.array([instance['bbox'][2:] for instance in info['instances']]).reshape(-1, 2)
        width, height = np.ceil(corners.max(0, initial=64)).astype(int).tolist()
        return dict(img=np.zeros((height, width, 3), np.uint8), img_shape=(height, width), ori_shape=(height, width))
