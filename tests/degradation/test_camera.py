"""The camera's faults, one by one against their definitions, and together in what must hold."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from askd_mmdet.degradation import camera
from askd_mmdet.degradation.camera import CAMERAS, Camera, _blurred, _compressed, _noisy, _scaled, photograph

SAME = (61, 61)  # the size of a picture that no scaler touches
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
    noise = _noisy(picture, None, camera, rng(1)).astype(float) - brightness
    variance = 3**2 + 0.2 * brightness
    if brightness == 0:  # nothing is darker than black: half of a normal distribution is left, rounded to whole levels
        assert noise.min() == 0 and np.square(noise).mean() == pytest.approx(variance / 2, rel=0.1)
    else:
        assert noise.mean() == pytest.approx(0, abs=0.05)
        assert noise.var() == pytest.approx(variance + 1 / 12, rel=0.03)  # 1/12 by rounding
    neighbours = np.corrcoef(noise[:, :-1].ravel(), noise[:, 1:].ravel())[0, 1]
    assert abs(neighbours) < 0.01


def test_large_pictures_have_no_common_noise_and_none_that_repeats_regularly():
    """More numbers than are drawn in advance: 2 ** 20."""
    camera = replace(NONE, read=(4, 4))
    first, other = (_noisy(np.full((700, 600, 3), 100, np.uint8), None, camera, rng(seed)) for seed in (0, 1))
    first, other = (noise.ravel().astype(float) - 100 for noise in (first, other))
    assert first.var() == pytest.approx(16 + 1 / 12, rel=0.02)
    assert abs(np.corrcoef(first, other)[0, 1]) < 0.01
    for shift in (2**15, 2**16, 2**20, 100_800, 201_600):
        assert abs(np.corrcoef(first[shift:], first[:-shift])[0, 1]) < 0.1, shift


@pytest.mark.parametrize('seed', range(4))
def test_defocus_is_a_gaussian_of_a_width_within_the_range(seed):
    camera = replace(NONE, defocus=(1.0, 2.0))
    point = np.zeros((61, 61, 1), np.uint8)
    point[30, 30] = 255
    spread = _blurred(np.repeat(point, 3, 2), SAME, camera, rng(seed))[..., 0].astype(float)
    y, x = np.mgrid[-30:31, -30:31]
    for axis in (x, y):
        deviation = np.sqrt((spread * axis**2).sum() / spread.sum())
        assert 0.8 * 1.0 < deviation < 1.1 * 2.0  # a byte cuts the tails off


@pytest.mark.parametrize('length', [0.5, 1, 2, 4, 8])
@pytest.mark.parametrize('pixels', [1, 2])
def test_motion_is_a_line_of_its_length_around_the_middle(length, pixels):
    """In any direction."""
    camera = replace(NONE, moving=1.0, motion=(length, length))
    point = np.zeros((61 * pixels, 61 * pixels), np.float64)
    middle = len(point) // 2
    point[middle, middle] = 1
    y, x = np.mgrid[: len(point), : len(point)] - middle
    angles = []
    for seed in range(20):
        spread = _blurred(point, SAME, camera, rng(seed))
        assert spread.sum() == pytest.approx(1)
        assert abs((spread * x).sum()) < 1e-6 and abs((spread * y).sum()) < 1e-6  # nothing moves
        spreads = np.cov(np.stack([x.ravel(), y.ravel()]), aweights=spread.ravel().clip(0), ddof=0)
        across, along = np.linalg.eigvalsh(spreads)
        # The line's variance, and at most that of sharing points among two pixels along each axis.
        assert across < 0.26
        line = (pixels * length) ** 2 / 12
        assert line < along < 1.15 * line + 0.26
        angles.append(np.arctan2(*np.linalg.eigh(spreads)[1][:, 1]) % np.pi)
    assert np.ptp(angles) > 2


def test_a_picture_that_is_reduced_along_one_axis_is_blurred_as_much_along_both():
    """In pixels of the small picture."""
    point = np.zeros((61, 61), np.float64)
    point[30, 30] = 1
    x = np.arange(61) - 30
    for moving in (0.0, 1.0):
        camera = replace(NONE, defocus=(1.5, 1.5), moving=moving, motion=(6, 6))
        for seed in range(5):
            both = _blurred(point, (61, 61), camera, rng(seed)), _blurred(point, (61, 30.5), camera, rng(seed))
            across = [np.sqrt((spread.sum(0) * x**2).sum()) for spread in both]
            down = [np.sqrt((spread.sum(1) * x**2).sum()) for spread in both]
            assert down[1] == pytest.approx(down[0], rel=0.02)
            assert across[1] == pytest.approx(2 * across[0], abs=0.35)


def test_mirrored_and_read_only_pictures_are_photographed_as_their_copies():
    picture = scene()
    fixed = picture.copy()
    fixed.flags.writeable = False
    for view in (picture[:, ::-1], picture[3:-2, 1:], fixed):
        found, expected = (photograph(each, (12, 16), CAMERAS['drone'], rng(3)) for each in (view, view.copy()))
        assert np.array_equal(found, expected)


def test_blurs_keep_the_brightness():
    for moving in (0.0, 1.0):
        camera = replace(CAMERAS['drone'], moving=moving)
        picture = scene()
        assert _blurred(picture, picture.shape[:2], camera, rng()).mean() == pytest.approx(picture.mean(), abs=0.7)


def test_jpeg_loses_more_the_lower_its_quality():
    picture = scene()
    errors = []
    for quality in (95, 60, 10):
        found = _compressed(picture, None, replace(NONE, quality=(quality, quality)), rng())
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
    for seed in range(20):  # with every kernel
        found = photograph(picture, (12, 16), NONE, rng(seed))
        assert np.abs(found - expected).mean() < 4


def test_the_scaler_has_three_kernels():
    picture = rng().integers(0, 256, (18, 24, 3), np.uint8)
    found = {_scaled(picture, (12, 16), NONE, rng(seed)).tobytes() for seed in range(40)}
    means = picture.repeat(2, 0).repeat(2, 1).reshape(12, 3, 16, 3, 3).mean((1, 3))
    errors = sorted(np.abs(np.frombuffer(each, np.uint8).reshape(12, 16, 3) - means).max() for each in found)
    assert len(errors) == 3 and errors[0] <= 1 and errors[1] > 10  # one is the mean over an area


def test_steps_come_in_any_order(monkeypatch):
    """The scaler, too: noise and a first JPEG before it are of the larger picture."""
    orders = set()
    for name in ('_blurred', '_scaled', '_noisy'):
        step = getattr(camera, name)

        def noted(picture, *rest, name=name, step=step):
            order.append(name)
            return step(picture, *rest)

        monkeypatch.setattr(camera, name, noted)
    for seed in range(60):
        order = []
        photograph(scene(), (12, 16), CAMERAS['mild'], rng(seed))
        orders.add(tuple(order))
    assert orders == set(itertools.permutations(('_blurred', '_scaled', '_noisy')))


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
