"""The first transform of a face pipeline."""

import mmcv
import numpy as np
from mmcv.transforms import BaseTransform
from mmengine.registry import TRANSFORMS

from askd_mmdet.training.settings import check_type


@TRANSFORMS.register_module()
class LoadFaceImage(BaseTransform):
    """Decode `img_bytes`, or the file `img_path` where there are none, to BGR (H, W, 3); None if that is impossible.

    Adds `img`, `img_shape` and `ori_shape`. Pillow decodes, which refuses truncated JPEGs.

    Args:
        to_float32: float32 instead of uint8, so that a later degradation rounds nothing.
    """

    def __init__(self, to_float32: bool = False):
        check_type('LoadFaceImage', 'to_float32', to_float32, bool)
        self.to_float32 = to_float32

    def transform(self, results: dict) -> dict | None:
        try:
            content = results.pop('img_bytes', None)
            if content is None:
                with open(results['img_path'], 'rb') as file:
                    content = file.read()
            image = mmcv.imfrombytes(content, flag='color', backend='pillow')
        except Exception:  # decoders raise whatever a damaged file makes them run into
            return None
        results['img'] = image.astype(np.float32) if self.to_float32 else image
        results['img_shape'] = results['ori_shape'] = image.shape[:2]
        return results
