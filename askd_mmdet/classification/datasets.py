"""Pictures with one class each: ImageNet and CIFAR-10."""

from pathlib import Path

import cv2
import numpy as np
from mmpretrain.datasets import CIFAR10, BaseDataset
from mmpretrain.registry import DATASETS

from askd_mmdet.training.pictures import labelled_pictures
from askd_mmdet.training.settings import check_choice, check_type
from askd_mmdet.training.unreadable import ReplacesUnreadable


@DATASETS.register_module()
class ClassFolderDataset(ReplacesUnreadable, BaseDataset):
    """Pictures in a folder for each class, or listed in a file (`<path> <label>` in a line), as ImageNet comes.

    A picture that cannot be read is replaced and counted, see `ReplacesUnreadable`.

    Args:
        ann_file: The list, relative to `data_root`; by default there is none.
        **kwargs: See mmpretrain's BaseDataset.

    Raises:
        FileNotFoundError: See :func:`labelled_pictures`.
        ValueError: When the list is malformed, or `metainfo` has other classes than there are folders.
    """

    def __init__(self, ann_file: str = '', **kwargs):
        super().__init__(ann_file, **kwargs)

    @property
    def check_tool(self) -> str:
        return f'askd check {self.img_prefix}'

    def load_data_list(self) -> list[dict]:
        """img_path and gt_label of every picture."""
        data_list, folders = labelled_pictures(self.img_prefix, self.ann_file)
        if folders and len(folders) != len(self.CLASSES or folders):
            raise ValueError(
                f'{self.img_prefix} has {len(folders)} folders, expected one for each of {len(self.CLASSES)} classes'
            )
        if folders:
            self._metainfo['classes'] = self.CLASSES or folders
        return data_list


@DATASETS.register_module()
class Cifar10Dataset(ClassFolderDataset):
    """CIFAR-10 as class folders below `train` and `test`, or as its own `cifar-10-batches-py`.

    Args:
        data_root: The folder that holds `train` and `test`, or `cifar-10-batches-py`.
        split: 'train' or 'test'.
        **kwargs: See mmpretrain's BaseDataset.

    Raises:
        FileNotFoundError: When there is neither.
        ValueError: When there are other class folders than the ten.
        RuntimeError: When a batch file is missing or differs from the original by its checksum; being pickles, others
            are not read.
    """

    METAINFO = CIFAR10.METAINFO

    def __init__(self, data_root: str, split: str, **kwargs):
        check_type('Cifar10Dataset', 'data_root', data_root, str, Path)
        check_choice('Cifar10Dataset', 'split', split, ('train', 'test'))
        self.split = split
        super().__init__(data_root=data_root, data_prefix=split, test_mode=split == 'test', **kwargs)

    def stand_in(self, info: dict) -> dict:
        """A black picture of CIFAR's size: nothing resizes it, and a larger one would pad its whole batch."""
        return dict(img=np.zeros((32, 32, 3), np.uint8), img_shape=(32, 32), ori_shape=(32, 32))

    def load_data_list(self) -> list[dict]:
        """img_path and gt_label of every picture; from batches also img, uint8 (32, 32, 3), BGR."""
        batches = Path(self.data_root, CIFAR10.base_folder)
        if not batches.is_dir():
            return super().load_data_list()
        original = CIFAR10(data_root=self.data_root, split=self.split, download=False)
        return [
            dict(info, img=cv2.cvtColor(info['img'], cv2.COLOR_RGB2BGR), img_path=f'{batches}/{self.split}#{i}')
            for i, info in enumerate(original)
        ]
