"""TinaFace's crop: a square of a random size that shows at least one face."""

from collections.abc import Sequence

import numpy as np
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness
from mmdet.registry import TRANSFORMS

from askd_mmdet.training.settings import check_number, check_numbers


@TRANSFORMS.register_module()
class SquareCrop(BaseTransform):
    """Crop a square of random side and place in which the centre of at least one face lies.

    The side is drawn once, so that every scale gets its share whatever the image shows. Its place is drawn anew until
    a face is inside, 250 times at most in TinaFace; should that never happen, the last place is taken, without a face.
    Ignored faces do not count. An image in which no face counts takes any place. A box stays when its centre is
    inside; it is then translated and clipped.

    All places are drawn at once from NumPy's global generator, so an image takes as many random numbers whatever it
    shows.

    Required and modified keys: img (H, W, ...), img_shape, gt_bboxes (HorizontalBoxes, (N, 4)),
    gt_bboxes_labels (N,), gt_ignore_flags (N,).

    Args:
        scales: Sides to draw from, as a part of the image's shorter side, each in (0, 1].
        tries: How many places are drawn at most.

    Raises:
        ValueError: When built, if a scale is out of range or there is no scale or no try.
    """

    keeps_draws = True  # for LowResolution: both pictures of a pair get the same place

    def __init__(self, scales: Sequence[float] = (0.3, 0.45, 0.6, 0.8, 1.0), tries: int = 250):
        check_numbers('SquareCrop', 'scales', scales, above=0, at_most=1)
        check_number('SquareCrop', 'tries', tries, whole=True, at_least=1)
        self.scales = scales
        self.tries = tries

    def transform(self, results: dict) -> dict:
        """Crop the image and its boxes."""
        corner, side = self._draw(results)
        left, top = corner
        results['img'] = results['img'][top : top + side, left : left + side]
        results['img_shape'] = (side, side)
        if 'gt_bboxes' in results:  # else the place is kept from the other picture of a pair
            boxes, ignored = results['gt_bboxes'], results['gt_ignore_flags']
            keep = _inside(boxes.centers.numpy(), corner, side)
            boxes = boxes[keep]
            boxes.translate_((-left, -top))
            boxes.clip_((side, side))
            results['gt_bboxes'] = boxes
            results['gt_bboxes_labels'] = results['gt_bboxes_labels'][keep]
            results['gt_ignore_flags'] = ignored[keep]
        return results

    @cache_randomness
    def _draw(self, results):
        """The left top corner (x, y) and the side of the square."""
        size = np.array(results['img'].shape[1::-1])
        centres = results['gt_bboxes'].centers.numpy()[~results['gt_ignore_flags']]
        side = max(round(np.random.choice(self.scales) * size.min()), 1)
        corners = np.random.randint(0, size - side + 1, (self.tries, 2))
        hits = _inside(centres, corners[:, None], side).any(1)
        hits[-1] = True
        return corners[hits.argmax()], side

    def __repr__(self):
        return f'{type(self).__name__}(scales={self.scales}, tries={self.tries})'


def _inside(points, corner, side):
    """Which points (..., 2) are inside the square at a left top corner; its right and bottom are outside."""
    return ((corner <= points) & (points < corner + side)).all(-1)
