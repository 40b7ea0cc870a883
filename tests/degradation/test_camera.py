"""The camera's faults, one by one against their definitions, and together in what must hold."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from askd_mmdet.degradation.camera import CAMERAS, Camera, _blurred, _compressed, _noisy, photograph

NONE = Camera((0.01, 0.01), 0.0, (1, 1), (0, 0), (0, 0), (100, 100), 0.0)


def rng(seed=0):
    return np.random.default_rng(seed)


def scene(seed=0, shape=(48, 64, 3)):
    """Smooth and grey, so that a blur or a JPEG leaves most of it."""
    smooth = ndimage.gaussian_filter(rng(seed).normal(size=(*shape[:2], 1)), (6, 6, 0)).repeat(shape[2], 2)
    return (127 + 60 * smooth / smooth.std()).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize('brightness', [0, 20, 128, 230])
def test_the_noise_has_the_variance_of_read_and_shot_noise(brightness):
    camera = replace(NONE, read=(3, 3), shot=(0.2, 0.2))
    picture = np.full((300, 300, 3), brightness, np.uint8)
    noise = _noisy(picture, camera, rng(1)).astype(float) - brightness
    variance = 3**2 + 0.2 * brightness
    if brightness == 0:  # nothing is darker than black: half of a normal distribution is left, rounded to whole levels
        assert noise.min() == 0 and np.square(noise).mean() == pytest.approx(variance / 2, rel=0.1)
    else:
        assert noise.mean() == pytest.approx(0, abs=0.05)
        assert noise.var() == pytest.approx(variance + 1 / 12, rel=0.03)  # 1/12 by rounding
    neighbours = np.corrcoef(noise[:, :-1].ravel(), noise[:, 1:].ravel())[0, 1]
    assert abs(neighbours) < 0.01


def test_more_noise_than_there_are_numbers_still_has_its_variance():
    camera = replace(NONE, read=(4, 4))
    noise = _noisy(np.full((700, 600, 3), 100, np.uint8), camera, rng()).astype(float)
    assert noise.var() == pytest.approx(16 + 1 / 12, rel=0.02)


@pytest.mark.parametrize('seed', range(4))
def test_defocus_is_a_gaussian_of_a_width_within_the_range(seed):
    camera = replace(NONE, defocus=(1.0, 2.0))
    point = np.zeros((61, 61, 1), np.uint8)
    point[30, 30] = 255
    spread = _blurred(np.repeat(point, 3, 2), camera, rng(seed))[..., 0].astype(float)
    y, x = np.mgrid[-30:31, -30:31]
    for axis in (x, y):
        deviation = np.sqrt((spread * axis**2).sum() / spread.sum())
        assert 0.8 * 1.0 < deviation < 1.1 * 2.0  # a byte cuts the tails off


@pytest.mark.parametrize('seed', range(4))
def test_motion_is_a_line_of_a_length_within_the_range(seed):
    camera = replace(NONE, moving=1.0, motion=(6, 10))
    point = np.zeros((61, 61, 1), np.uint8)
    point[30, 30] = 255
    spread = _blurred(np.repeat(point, 3, 2), camera, rng(seed))[..., 0].astype(float)
    y, x = np.nonzero(spread > spread.max() / 4)
    along = np.linalg.svd(np.stack([x - x.mean(), y - y.mean()]), full_matrices=False)[1] / np.sqrt(len(x))
    assert along[1] < 0.8  # narrow
    assert 0.8 * 6 < along[0] * np.sqrt(12) < 1.3 * 10  # a line's length is sqrt(12) standard deviations


def test_blurs_keep_the_brightness():
    for moving in (0.0, 1.0):
        camera = replace(CAMERAS['drone'], moving=moving)
        picture = scene()
        assert _blurred(picture, camera, rng()).mean() == pytest.approx(picture.mean(), abs=0.7)


def test_jpeg_loses_more_the_lower_its_quality():
    picture = scene()
    errors = []
    for quality in (95, 60, 10):
        found = _compressed(picture, replace(NONE, quality=(quality, quality)), rng())
        errors.append(np.abs(found.astype(int) - picture).mean())
    assert 0 < errors[0] < errors[1] < errors[2] < 20


@pytest.mark.parametrize('shape, size', [((48, 64, 3), (12, 16)), ((40, 30, 1), (40, 30)), ((9, 7, 3), (1, 1))])
@pytest.mark.parametrize('name', CAMERAS)
def test_a_photograph_has_its_size_and_is_that_of_its_seed(name, shape, size):
    picture = scene(shape=shape)
    first, again, other = (photograph(picture, size, CAMERAS[name], rng(seed)) for seed in (0, 0, 1))
    assert first.shape == (*size, shape[2]) and first.dtype == np.uint8
    assert np.array_equal(first, again)
    assert size == (1, 1) or not np.array_equal(first, other)


def test_without_faults_it_is_the_reduced_scene():
    picture = scene()
    expected = picture.reshape(12, 4, 16, 4, 3).mean((1, 3))
    for seed in range(6):  # with every kernel
        found = photograph(picture, (12, 16), NONE, rng(seed))
        assert np.abs(found - expected).mean() < 4


def test_a_mild_camera_errs_least():
    picture = scene()
    expected = picture.reshape(12, 4, 16, 4, 3).mean((1, 3))
    errors = {
        name: np.mean(
            [np.abs(photograph(picture, (12, 16), camera, rng(seed)) - expected).mean() for seed in range(40)]
        )
        for name, camera in CAMERAS.items()
    }
    assert 1.5 * errors['mild'] < min(errors['drone'], errors['surveillance'])


@pytest.mark.parametrize(
    'picture, error, message',
    [
        (np.zeros((8, 8, 3), np.float32), TypeError, 'type float32, expected uint8'),
        (np.zeros((8, 8, 4), np.uint8), ValueError, '4 channels, expected 1 or 3'),
    ],
)
def test_what_no_camera_delivers_is_refused(picture, error, message):
    with pytest.raises(error, match=message):
        photograph(picture, (4, 4), CAMERAS['mild'], rng())
