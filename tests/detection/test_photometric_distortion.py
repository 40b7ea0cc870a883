"""The photometric distortion against its definition, worked out pixel by pixel with the standard library's colours."""

import colorsys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmdet.registry import TRANSFORMS
from mmengine.config import Config
from mmengine.registry import DefaultScope
from skimage import data

from askd_mmdet.degradation import low_resolution
from askd_mmdet.detection.photometric_distortion import ClippedPhotoMetricDistortion

COLOURS = np.random.default_rng(0).integers(0, 256, (5, 6, 3), np.uint8)
FACE = data.astronaut()[:96:3, 200:296:3, ::-1]


def distorted(image, prob=0.5, **settings):
    return ClippedPhotoMetricDistortion(prob, **settings)(dict(img=image.copy()))['img']


def with_draws(image, *draws):
    transform = ClippedPhotoMetricDistortion(prob=1)
    transform._random_flags = lambda: draws
    return transform(dict(img=image.copy()))['img']


def clipped(pixel):
    return [min(max(value, 0), 255) for value in pixel]


def by_hand(pixel, contrast_first, flags, delta, alpha, saturation, hue, order):
    """One BGR pixel: brightness, contrast here or after the colours, saturation, hue, order of the channels."""
    brighten, contrast, saturate, turn, swap = flags
    if brighten:
        pixel = clipped(value + delta for value in pixel)
    if contrast and contrast_first:
        pixel = clipped(value * alpha for value in pixel)
    h, s, v = colorsys.rgb_to_hsv(*pixel[::-1])
    pixel = clipped(colorsys.hsv_to_rgb((h + turn * hue / 360) % 1, s * (saturation if saturate else 1), v)[::-1])
    if contrast and not contrast_first:
        pixel = clipped(value * alpha for value in pixel)
    return [pixel[channel] for channel in order] if swap else pixel


@given(
    st.integers(0, 1),
    st.tuples(*[st.integers(0, 1)] * 5),
    st.floats(-32, 32),
    st.floats(0.5, 1.5),
    st.floats(0.5, 1.5),
    st.floats(-18, 18),
    st.permutations(range(3)),
)
def test_every_draw_gives_the_picture_of_the_definition(contrast_first, flags, delta, alpha, saturation, hue, order):
    found = with_draws(COLOURS, contrast_first, *flags, delta, alpha, saturation, hue, np.array(order))
    draws = contrast_first, flags, delta, alpha, saturation, hue, order
    expected = [[by_hand(pixel, *draws) for pixel in row] for row in COLOURS.tolist()]
    np.testing.assert_allclose(found, expected, atol=0.02)


def test_no_stage_leaves_the_range():
    """A later stage sees the clipped picture: 240 + 32 counts as 255, and 20 - 32 as 0."""
    order = np.arange(3)
    for contrast_first in (0, 1):
        bright = with_draws(np.full((2, 2, 3), 240, np.uint8), contrast_first, 1, 1, 0, 0, 0, 32, 0.5, 1, 0, order)
        assert (bright == 127.5).all()
        dark = with_draws(np.full((2, 2, 3), 20, np.uint8), contrast_first, 1, 1, 0, 0, 0, -32, 1.5, 1, 0, order)
        assert (dark == 0).all()

    np.random.seed(0)
    pictures = np.stack([distorted(COLOURS, prob=1) for _ in range(500)])
    assert pictures.dtype == np.float32
    assert pictures.min() == 0 and pictures.max() == 255


@pytest.mark.parametrize('prob', [0, 0.5, 1])
def test_the_share_of_unchanged_pictures(prob):
    """Within the block all four flags are off once in 16, and channels keep their order unless one of five other
    permutations is drawn for half of the pictures: 1/16 * (1 - 1/2 * 5/6) = 3.6 %, so 51.8 % at probability 0.5."""
    np.random.seed(0)
    unchanged = np.mean([np.array_equal(distorted(COLOURS, prob), COLOURS) for _ in range(3000)])
    assert abs(unchanged - (1 - prob + prob / 16 * 7 / 12)) < 0.025
    assert prob or unchanged == 1


def test_twins_are_distorted_alike(root):
    """The distortion of the real config, on a picture and its LR twin."""
    cfg = Config.fromfile(root / 'configs/detection/tinaface_r50-bn-cbam_widerface.py')
    (distortion,) = (t for t in cfg.train_pipeline[-1].transforms if 'Distortion' in t.type)
    assert distortion.prob == 0.5
    with DefaultScope.overwrite_default_scope('mmdet'):
        pair = TRANSFORMS.build(
            dict(type='LowResolution', ratio=4, keep_hr=True, transforms=[distortion, dict(type='PackDetInputs')])
        )
        single = TRANSFORMS.build(distortion)
    changed = 0
    for seed in range(20):
        np.random.seed(seed)
        packed = pair(dict(img=FACE.copy()))
        state = np.random.get_state()[1:]
        np.random.seed(seed)
        alone = single(dict(img=FACE.copy()))['img']
        np.testing.assert_equal(np.random.get_state()[1:], state)
        np.testing.assert_array_equal(packed['hr_inputs'].numpy(), alone.transpose(2, 0, 1))
        lr = low_resolution(FACE, 4)
        np.random.seed(seed)
        np.testing.assert_array_equal(packed['inputs'].numpy(), single(dict(img=lr))['img'].transpose(2, 0, 1))
        changed += not np.array_equal(alone, FACE)
    assert 5 <= changed <= 15


def test_a_bad_probability_is_named():
    with pytest.raises(ValueError, match=r'found prob=1\.5, expected at least 0 and at most 1'):
        ClippedPhotoMetricDistortion(prob=1.5)


def test_settings_are_shown():
    text = repr(ClippedPhotoMetricDistortion(0.25, hue_delta=7))
    assert 'prob=0.25' in text and 'hue_delta=7' in text
