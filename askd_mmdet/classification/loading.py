"""The first transform: a picture from its file, or from the data set's memory."""

from mmcv.transforms import LoadImageFromFile
from mmpretrain.registry import TRANSFORMS


@TRANSFORMS.register_module()
class LoadPicture(LoadImageFromFile):
    """mmcv's LoadImageFromFile, which takes a picture that the data set holds (`img`) as it is.

    It returns None for a file that cannot be read, truncated JPEGs included, see `ReplacesUnreadable`.
    """

    def __init__(self, **kwargs):
        # Pillow refuses truncated JPEGs, which OpenCV pads with grey.
        super().__init__(ignore_empty=True, imdecode_backend='pillow', **kwargs)

    def transform(self, results: dict) -> dict | None:
        """Add img, img_shape and ori_shape."""
        if 'img' not in results:
            return super().transform(results)
        return dict(results, img_shape=results['img'].shape[:2], ori_shape=results['img'].shape[:2])
