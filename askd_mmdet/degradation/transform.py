"""The transforms that degrade a sample, keep its HR twin aligned, and enlarge what is LR by itself (sec. 3.1)."""

import copy
import random
import re
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache

import cv2
import numpy as np
import torch
from mmcv.transforms import BaseTransform, Compose
from mmengine.registry import TRANSFORMS

from askd_mmdet.degradation.low_resolution import CAMERA_RECIPES, check_settings, enlarge, low_resolution
from askd_mmdet.training.settings import check_numbers, check_type

# Transforms of others that draw nothing, or by methods alone whose draws MMCV keeps (`cache_randomness`), and that
# treat a picture alike without its annotations. Ours say so by `keeps_draws = True`.
_KEEP_DRAWS = (
    'mmcv.transforms.processing.RandomFlip',
    'mmdet.datasets.transforms.formatting.PackDetInputs',
    'mmdet.datasets.transforms.transforms.RandomFlip',
    'mmdet.datasets.transforms.transforms.Resize',
    'mmpretrain.datasets.transforms.formatting.PackInputs',
)


@TRANSFORMS.register_module()
class LowResolution(BaseTransform):
    """Degrade the image, then run all further transforms, on request for its HR twin as well.

    With `keep_hr` the further transforms run twice, with the same draws. Where all are known to let
    MMCV keep them, the HR twin follows its LR picture, without annotations; else it goes first, with
    a copy of them, and the random generators of Python, NumPy and torch (CPU) are set back. Both
    pictures get the same crops, flips and distortions, and a run with `keep_hr` draws the same
    numbers as one without. The twins stay together because every transform after this one must be
    among `transforms`.

    Args:
        transforms: All further transforms, ending with the packing one (`PackDetInputs`,
            `PackInputs`). They must draw their random numbers from the three generators above.
        ratio: HR size over LR size, >= 1; from a sequence, one is drawn for every image.
        size: Instead of `ratio`, the LR size in pixels, see `low_resolution`.
        sigma: Blur in LR pixels, see `low_resolution`.
        recipe: See `low_resolution`.
        vary: Whether a camera's recipe treats a picture differently at every visit, as training
            wants it; else, as tests want it, always alike. To be named with these recipes.
        keep_hr: Whether the packed sample gets the key `hr_inputs`: what `inputs` (C, H, W) would
            be without the degradation.
        keep_mirrored: Whether the packed data sample gets the field `mirrored`: what `inputs` would
            be if the image were mirrored before the degradation. For tests that also look at the
            mirror image: the recipe `'authors'` treats left and right differently.

    Raises:
        ValueError: When built, if a setting is out of its range or `vary` is missing, the last
            transform is not a packing one, or one of them loads pictures or mixes several
            (`Mosaic`, `MixUp`, `CopyPaste`); when called, if there is no image yet.
        RuntimeError: When called, if transforms that are not known left the two pictures with other shapes, metainfo or
            boxes. What differs in pixels alone is not seen: Albumentations draws from a generator of its own, and
            belongs before this.

    Example:
        >>> import numpy as np
        >>> class PackImage:
        ...     def __call__(self, results):
        ...         return dict(inputs=torch.from_numpy(results['img']))
        >>> degrade = LowResolution([PackImage()], ratio=2, keep_hr=True)
        >>> sample = degrade(dict(img=np.float32([[0, 0, 8, 8]] * 2)))
        >>> sample['hr_inputs'][0], sample['inputs'][0].diff() > 0
        (tensor([0., 0., 8., 8.]), tensor([True, True, True]))
    """

    def __init__(
        self,
        transforms: Sequence,
        ratio: float | Sequence[float] | None = None,
        size: int | tuple[int, int] | None = None,
        sigma: float = 0.5,
        recipe: str = 'paper',
        vary: bool | None = None,
        keep_hr: bool = False,
        keep_mirrored: bool = False,
    ):
        self.ratios = ratio if isinstance(ratio, list | tuple) else [ratio]
        if ratio is self.ratios:
            check_numbers('LowResolution', 'ratio', ratio, at_least=1)
        check_settings('LowResolution', self.ratios[0], size, sigma, recipe)
        if recipe in CAMERA_RECIPES and vary is None:
            raise ValueError(
                f'LowResolution: found recipe={recipe!r} without vary, expected vary=True in a training, of the base '
                'as of the student, and vary=False in tests'
            )
        if vary is not None:
            check_type('LowResolution', 'vary', vary, bool)
        check_type('LowResolution', 'keep_hr', keep_hr, bool)
        check_type('LowResolution', 'keep_mirrored', keep_mirrored, bool)
        self.size = size
        self.sigma = sigma
        self.recipe = recipe
        self.vary = bool(vary)
        self.keep_hr = keep_hr
        self.keep_mirrored = keep_mirrored
        self.pipeline = Compose(transforms)
        self.names = [type(transform).__name__ for transform in self.pipeline]
        if not self.names or not self.names[-1].startswith('Pack'):
            raise ValueError(
                f'found transforms={self.names} in LowResolution, expected all further transforms, '
                f'ending with the packing one: a transform outside would see only one picture of '
                f'the pair, so put every later transform into `transforms`, ending with '
                f'PackDetInputs or PackInputs'
            )
        for transform in walk(self.pipeline):
            name = type(transform).__name__
            # what OpenMMLab's transforms have that take further pictures from the data set or a cache
            mixes = hasattr(transform, 'get_indexes')
            if mixes or re.match('Load.*(Image|Picture)', name):
                raise ValueError(
                    f'found {name} in LowResolution, which {"mixes" if mixes else "loads"} pictures that nobody '
                    f'degrades: put it before LowResolution'
                )

    @property
    def degrades(self) -> bool:
        """Whether any picture comes out smaller than it was: ratio 1 is HR."""
        return self.size is not None or max(self.ratios) > 1

    def transform(self, results: dict) -> dict | None:
        """Degrade `results['img']` (H, W) or (H, W, C) and pack; None where a transform skips."""
        if 'img' not in results:
            raise ValueError(
                f"found no 'img' among {sorted(results)}, expected an image: "
                f'put LoadImageFromFile before LowResolution in the pipeline'
            )
        # a fixed ratio draws nothing, so the later transforms draw as they would without us
        ratio = random.choice(self.ratios) if len(self.ratios) > 1 else self.ratios[0]

        image = _forwards(results.pop('img'))
        seed = None
        if self.recipe in CAMERA_RECIPES:
            seed = np.random.randint(2**31) if self.vary else zlib.crc32(np.ascontiguousarray(image))

        def degraded(image):
            rng = None if seed is None else np.random.default_rng(seed)
            return low_resolution(image, ratio, self.size, sigma=self.sigma, recipe=self.recipe, rng=rng)

        mirrored = degraded(image[:, ::-1]) if self.keep_mirrored else None
        results['img'] = degraded(image)
        ours = copy.deepcopy(results) if self.keep_mirrored else results
        lr, hr = self._pair(ours, image) if self.keep_hr else (self._run(ours), None)
        if self.keep_mirrored and lr is not None:
            lr['data_samples'].set_field(self._run(results | dict(img=mirrored))['inputs'], 'mirrored')
        if not self.keep_hr or lr is None:
            return lr
        if hr is None:
            return None
        lr['hr_inputs'] = hr['inputs']
        return lr

    def _pair(self, results, image):
        """What the further transforms make of the LR picture and of its twin, with the same draws."""
        if all(_keeps_draws(type(step)) for step in self.pipeline):
            with _kept_draws(self.pipeline):
                return self._run(results), self._run(dict(img=image))
        # The picture itself is nobody else's from here on, and need not be copied.
        annotations = {key: value for key, value in results.items() if key != 'img'}
        states = random.getstate(), np.random.get_state(), torch.get_rng_state()
        hr = self._run(copy.deepcopy(annotations) | dict(img=image))
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])
        lr = self._run(results)
        if hr is not None and lr is not None:
            self._check_alike(_geometry(hr), _geometry(lr))
        return lr, hr

    def _run(self, results):
        """What the further transforms make of a picture."""
        *steps, pack = self.pipeline
        for step in steps:
            results = step(results | dict(img=_forwards(results['img'])))
            if results is None:
                return None
        return pack(results | dict(img=_planar(results['img'])))

    def _check_alike(self, hr, lr):
        for key in hr | lr:
            if hr.get(key) is not lr.get(key) and not np.array_equal(hr.get(key), lr.get(key)):
                raise RuntimeError(
                    f'found {key} {hr.get(key)} in the HR and {lr.get(key)} in the LR picture of '
                    f'{lr.get("img_path", "a sample")}, expected the same in both: one of the '
                    f'transforms {self.names} keeps a state, looks at the pixels, or draws from a '
                    f'random generator of its own; replace it or put it before LowResolution'
                )


@TRANSFORMS.register_module()
class ResizeToHR(BaseTransform):
    """Bring every image to the size the network sees, as the degradation enlarges its own small image.

    So a real LR picture comes as a degraded one of its size came in training, see `enlarge`. Larger
    pictures are reduced by the antialiased bicubic kernel.

    Args:
        size: Height and width in pixels, or one number for both.
        recipe: See `enlarge`; for images that are larger on a side it is `'paper'` always, since
            `'authors'` would skip pixels.

    Raises:
        ValueError: When a setting is out of its range.

    Example:
        >>> import numpy as np
        >>> ResizeToHR(4)(dict(img=np.zeros((2, 3, 3), np.uint8)))['img_shape']
        (4, 4)
    """

    def __init__(self, size: int | tuple[int, int], recipe: str = 'paper'):
        check_settings('ResizeToHR', None, size, 0, recipe)
        self.size = tuple(np.broadcast_to(size, 2).tolist())
        self.recipe = recipe

    def transform(self, results: dict) -> dict:
        """Resize `results['img']` (H, W) or (H, W, C), and note its `img_shape`."""
        image = results['img']
        if image.shape[:2] != self.size:
            larger = image.shape[0] > self.size[0] or image.shape[1] > self.size[1]
            results['img'] = enlarge(image, self.size, recipe='paper' if larger else self.recipe)
        results['img_shape'] = self.size
        return results


def walk(transform) -> Iterator:
    """A transform, or a list of them, and all that run inside it (as in `Compose` or `RandomChoice`)."""
    yield transform
    inner = (getattr(transform, name, None) for name in ('transforms', 'pipeline', 'subroutines'))
    for part in transform if isinstance(transform, (list, tuple)) else filter(None, inner):
        yield from walk(part)


def _forwards(image):
    """The image; a mirrored view, as MMCV's flip leaves it, is copied, by OpenCV in a fifth of NumPy's time."""
    mirrored = _is_coloured(image) and image.strides[1] < 0 < image.strides[0]
    return cv2.flip(image[:, ::-1], 1) if mirrored else image


def _planar(image):
    """The image; a large one lies channel by channel in memory, as packing wants it: by OpenCV in half torch's time."""
    if not (_is_coloured(image) and image.flags.c_contiguous and image.size > 100_000):
        return image
    planes = np.empty((3, *image.shape[:2]), image.dtype)
    cv2.split(image, list(planes))
    return planes.transpose(1, 2, 0)


def _is_coloured(image):
    return isinstance(image, np.ndarray) and image.ndim == 3 and image.shape[2] == 3


@cache
def _keeps_draws(kind):
    """Whether a class of transforms is known to; a subclass may do what it likes, and says so itself."""
    return f'{kind.__module__}.{kind.__qualname__}' in _KEEP_DRAWS or vars(kind).get('keeps_draws', False)


@contextmanager
def _kept_draws(steps):
    """As MMCV's `cache_random_params`, which wraps all methods at every picture: longer than a small one is in work."""
    for step in steps:
        step._cache_enabled, step._cache = True, {}
    try:
        yield
    finally:
        for step in steps:
            del step._cache_enabled, step._cache


def _geometry(packed):
    """What must be equal in both pictures of a pair, by name."""
    geometry = {'shape': tuple(packed['inputs'].shape)}
    sample = packed.get('data_samples')
    if sample is not None:
        geometry |= sample.metainfo
        if 'bboxes' in sample.get('gt_instances', ()):
            boxes = sample.gt_instances.bboxes
            geometry['gt_instances.bboxes'] = getattr(boxes, 'tensor', boxes)
    return geometry
