"""TinaFace's photometric distortion: MMDetection's draws, on half of the pictures and within the range of pixels."""

import mmcv
import numpy as np
from mmcv.transforms.utils import cache_randomness
from mmdet.datasets.transforms import PhotoMetricDistortion
from mmdet.registry import TRANSFORMS

from askd_mmdet.training.settings import check_number, check_numbers, check_type


@TRANSFORMS.register_module()
class ClippedPhotoMetricDistortion(PhotoMetricDistortion):
    """Distort the colours of a part of the images, and never leave [0, 255].

    With probability `prob` the image gets, each with probability 1/2 and in this order, another brightness, contrast
    (half of the times only after the colours), saturation, hue, and order of channels. It is clipped to [0, 255] after
    brightness, after contrast and after the way back from HSV, as TinaFace does; its parent distorts every image and
    clips none.

    Required and modified key: img (H, W, 3), BGR in [0, 255]; becomes float32, whether distorted or not.

    Args:
        prob: Share of the images that are distorted, in [0, 1].
        brightness_delta: Greatest change, in grey levels.
        contrast_range: Least and greatest factor.
        saturation_range: Least and greatest factor.
        hue_delta: Greatest turn, in degrees.
        swap_channels: Whether the order of the channels changes, too.

    Raises:
        ValueError: When built, if a setting is of another type or out of its range.
    """

    keeps_draws = True  # for LowResolution: both pictures of a pair are distorted alike

    def __init__(
        self,
        prob: float = 0.5,
        brightness_delta: float = 32,
        contrast_range: tuple[float, float] = (0.5, 1.5),
        saturation_range: tuple[float, float] = (0.5, 1.5),
        hue_delta: float = 18,
        swap_channels: bool = True,
    ):
        owner = type(self).__name__
        check_number(owner, 'prob', prob, at_least=0, at_most=1)
        for name, delta in dict(brightness_delta=brightness_delta, hue_delta=hue_delta).items():
            check_number(owner, name, delta, at_least=0)
        for name, factors in dict(contrast_range=contrast_range, saturation_range=saturation_range).items():
            check_numbers(owner, name, factors, count=2, at_least=0)
        check_type(owner, 'swap_channels', swap_channels, bool)
        super().__init__(brightness_delta, contrast_range, saturation_range, hue_delta, swap_channels)
        self.prob = prob

    def transform(self, results: dict) -> dict:
        """Distort the image, or only turn it into floats."""
        image = results['img'].astype(np.float32)
        results['img'] = self._distort(image, *self._random_flags()) if self._is_distorted() else image
        return results

    @cache_randomness
    def _is_distorted(self):
        return np.random.rand() < self.prob

    @staticmethod
    def _distort(
        image, contrast_first, brighten, contrast, saturate, turn, swap, delta, alpha, saturation, degrees, order
    ):
        if brighten:
            image += delta
            np.clip(image, 0, 255, out=image)
        if contrast and contrast_first:
            image *= alpha
            np.clip(image, 0, 255, out=image)
        if saturate or turn:
            hsv = mmcv.bgr2hsv(image)
            if saturate:
                hsv[..., 1] *= saturation  # above 1 a channel falls below 0, which the clipping below mends
            if turn:
                hsv[..., 0] = (hsv[..., 0] + degrees) % 360
            image = mmcv.hsv2bgr(hsv)
            np.clip(image, 0, 255, out=image)
        if contrast and not contrast_first:
            image *= alpha
            np.clip(image, 0, 255, out=image)
        return image.take(order, -1) if swap else image

    def __repr__(self):
        return f'{super().__repr__()[:-1]}, prob={self.prob})'
