"""Faces of one's own, annotated in COCO's format."""

from pathlib import Path

import numpy as np
from mmdet.datasets import CocoDataset
from mmdet.registry import DATASETS
from mmengine.fileio import load

from askd_mmdet.training.files import data_hint
from askd_mmdet.training.unreadable import ReplacesUnreadable


@DATASETS.register_module()
class CocoFaceDataset(ReplacesUnreadable, CocoDataset):
    """MMDetection's CocoDataset for one category, `face` unless `metainfo=dict(classes=...)` names another.

    A picture that cannot be read stops nothing, see `ReplacesUnreadable`, where the pipeline begins with `LoadPicture`.

    Args:
        **kwargs: See CocoDataset.

    Raises:
        FileNotFoundError: When the annotation is missing.
        ValueError: When it is not in COCO's format; when it has no category of that name, which CocoDataset would take
            for pictures without faces, or `classes` has several, of which a network for faces would take all but the
            first for background.
        RuntimeError: When `max_refetch` images in a row are unreadable or left out by a transform.
    """

    METAINFO = dict(classes=('face',), palette=[(220, 20, 60)])

    def load_data_list(self) -> list[dict]:
        """One dict for every image, as CocoDataset has it."""
        if not Path(self.ann_file).is_file():
            raise FileNotFoundError(
                f"{self.ann_file} does not exist; it should hold the faces in COCO's format: {data_hint(self.ann_file)}"
            )
        try:
            data_list = super().load_data_list()
        except KeyError as error:
            raise ValueError(
                f"{self.ann_file} is not in COCO's format: {error} is missing. It has images (id, file_name, width, "
                'height), annotations (id, image_id, category_id, bbox, area, iscrowd) and categories (id, name)'
            ) from error
        except (AssertionError, TypeError, ValueError) as error:  # a list, other things, or no JSON
            raise ValueError(
                f"{self.ann_file} is not in COCO's format, an object with images, annotations and categories "
                f'({error}); write it again'
            ) from error
        wanted = list(self.metainfo['classes'])
        if len(wanted) != 1 or not self.cat_ids:
            found = [category['name'] for category in load(self.ann_file)['categories']]
            raise ValueError(
                f'found classes={wanted}, expected one of the categories of {self.ann_file}, {found}: name the one '
                "that means a face in the data sets of training, validation and test, metainfo=dict(classes=['...'])"
            )
        return data_list

    def stand_in(self, info: dict) -> dict:
        """What the first transform would add for a black picture of the annotation's size."""
        size = info['height'], info['width']
        return dict(img=np.zeros((*size, 3), np.uint8), img_shape=size, ori_shape=size)
