"""Small data sets in the layouts of real ones, made from pictures that scikit-image brings."""

from functools import partial
from pathlib import Path

from askd_mmdet.toy.identities import make_face_identities
from askd_mmdet.toy.pictures import make_picture_classes
from askd_mmdet.toy.wider_face import make_wider_face

__all__ = ['MAKERS', 'make_face_identities', 'make_missing', 'make_picture_classes', 'make_wider_face']

# What the shipped configs and tables of `toy/` expect.
MAKERS = {
    'wider_face': partial(make_wider_face, train_images=320, val_images=160),
    'faces': make_face_identities,
    'pictures': make_picture_classes,
}


def make_missing(name: str | None, data: str | Path | None) -> None:
    """Make the toy set `<data>/toy_<name>` of the shipped configs, unless it is there.

    Args:
        name: 'wider_face', 'faces' or 'pictures'; None makes nothing.
        data: The folder of the data sets, 'data' where it is None.
    """
    folder = Path(data or 'data', f'toy_{name}')
    if name and not folder.is_dir():
        MAKERS[name](folder)
