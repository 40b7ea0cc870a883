import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage
from skimage import data
from torchvision.transforms.functional import gaussian_blur

from askd_mmdet.degradation import enlarge, low_resolution

PICTURES = {name: getattr(data, name)() for name in ('astronaut', 'chelsea', 'coffee', 'rocket')}
DTYPES = (np.uint8, np.uint16, np.float32, np.float64)


def pil_resize(channel, size):
    return np.asarray(Image.fromarray(channel).resize(size[::-1], Image.Resampling.BICUBIC))


def pil_degrade(channel, size, sigma):
    """Sec. 3.1 for one channel, by PIL's bicubic and SciPy's Gaussian."""
    small = pil_resize(channel, size)
    if sigma:
        # 5 taps: two on each side; 'mirror' is the reflection that does not repeat the edge
        small = ndimage.gaussian_filter(small, sigma, mode='mirror', radius=2)
    return pil_resize(small, channel.shape)


@pytest.mark.parametrize('name', PICTURES)
@pytest.mark.parametrize('ratio', [2, 4, 8, 16, 2.7])
@pytest.mark.parametrize('sigma', [0, 0.5, 1.3])
def test_float_equals_pil_and_scipy(name, ratio, sigma):
    picture = PICTURES[name].astype(np.float32)
    height, width = picture.shape[:2]
    size = round(height / ratio), round(width / ratio)
    expected = np.dstack([pil_degrade(channel, size, sigma) for channel in np.moveaxis(picture, 2, 0)])
    np.testing.assert_allclose(low_resolution(picture, ratio, sigma=sigma), expected, atol=5e-3)


@pytest.mark.parametrize('name', PICTURES)
@pytest.mark.parametrize('ratio', [2, 4, 8, 16])
def test_uint8_equals_pil_to_one_grey_value(name, ratio):
    picture = PICTURES[name]
    height, width = picture.shape[:2]
    small = Image.fromarray(picture).resize((round(width / ratio), round(height / ratio)), Image.Resampling.BICUBIC)
    expected = np.asarray(small.resize((width, height), Image.Resampling.BICUBIC), int)
    difference = np.abs(low_resolution(picture, ratio, sigma=0) - expected)
    # one step of the small image, enlarged with a kernel that overshoots, can become two
    assert difference.max() <= 2
    assert (difference > 1).mean() < 1e-3


@pytest.mark.parametrize('sigma', [0.3, 0.5, 2.0])
def test_uint8_equals_float(sigma):
    picture = PICTURES['chelsea']
    exact = low_resolution(picture.astype(np.float64), 4, sigma=sigma).clip(0, 255)
    # the small uint8 image is rounded twice, the large one once; nothing here needs clipping
    assert np.abs(low_resolution(picture, 4, sigma=sigma) - exact).max() < 2.5


def test_uint16_is_the_rounded_and_clipped_float():
    picture = np.kron([[0, 1], [1, 0]], np.full((16, 16), 65535)).astype(np.uint16)
    exact = low_resolution(picture.astype(np.float64), 2)
    assert exact.min() < -100 and exact.max() > 65635  # bicubic interpolation overshoots
    difference = np.abs(low_resolution(picture, 2) - exact.clip(0, 65535))
    assert 0.1 < difference.max() < 0.55


@pytest.mark.parametrize('size, expected', [(24, (24, 24)), ((24, 16), (24, 16))])
def test_size_is_the_size_of_the_lr_image(size, expected):
    face = PICTURES['astronaut'][..., 1].astype(np.float32)[:112, 150:262]
    np.testing.assert_allclose(low_resolution(face, size=size), pil_degrade(face, expected, 0.5), atol=5e-3)


def test_size_never_enlarges():
    picture = PICTURES['astronaut'][..., 1].astype(np.float32)[:20, :112]
    np.testing.assert_allclose(low_resolution(picture, size=24), pil_degrade(picture, (20, 24), 0.5), atol=5e-3)
    np.testing.assert_array_equal(low_resolution(picture[:, :20], size=24), picture[:, :20])


@pytest.mark.parametrize('recipe', ['paper', 'authors'])
def test_ratio_one_is_the_hr_image(recipe):
    picture = PICTURES['chelsea']
    result = low_resolution(picture, 1, recipe=recipe)
    np.testing.assert_array_equal(result, picture)
    assert not np.shares_memory(result, picture)


@pytest.mark.parametrize('ratio', [2, 4, 8, 16])
def test_authors_recipe_commutes_with_the_normalisation(ratio):
    """The authors degrade the normalised tensor; we the picture, which is normalised later."""
    picture = PICTURES['astronaut'].astype(np.float32)
    mean = torch.tensor([123.675, 116.28, 103.53]).view(3, 1, 1)
    std = torch.tensor([58.395, 57.12, 57.375]).view(3, 1, 1)

    def normalise(image):
        return (torch.from_numpy(image).permute(2, 0, 1) - mean) / std

    tensor = normalise(picture)[None]
    tensor = F.interpolate(F.interpolate(tensor, scale_factor=1 / ratio), size=picture.shape[:2])
    expected = gaussian_blur(tensor, [5, 5], [0.1, 2.0])[0]
    result = normalise(low_resolution(picture, ratio, recipe='authors'))
    torch.testing.assert_close(result, expected, atol=2e-5, rtol=0)


def test_authors_recipe_blurs_columns_not_rows():
    stripes = np.tile(np.float32([0, 0, 90, 90]), (16, 4))
    np.testing.assert_allclose(low_resolution(stripes, 2, recipe='authors'), stripes, atol=1e-3)
    assert np.abs(low_resolution(stripes.T.copy(), 2, recipe='authors') - stripes.T).max() > 10


@pytest.mark.parametrize('recipe', ['paper', 'authors'])
@pytest.mark.parametrize('dtype', DTYPES)
def test_each_channel_is_degraded_like_a_grey_image(recipe, dtype):
    picture = np.dstack([PICTURES['coffee'], PICTURES['coffee'][::-1]]).astype(dtype)
    result = low_resolution(picture, 4, recipe=recipe)
    assert result.dtype == dtype and result.shape == picture.shape
    tolerance = 1 if dtype == np.uint8 else 1e-2
    for channel, grey in zip(np.moveaxis(result, 2, 0), np.moveaxis(picture, 2, 0)):
        expected = low_resolution(grey, 4, recipe=recipe)
        np.testing.assert_array_equal(expected, low_resolution(grey[..., None], 4, recipe=recipe)[..., 0])
        np.testing.assert_allclose(channel.astype(float), expected, atol=tolerance)


@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    channels=st.sampled_from([(), (1,), (3,), (4,), (5,)]),
    ratio=st.floats(1, 100),
    dtype=st.sampled_from(DTYPES),
    recipe=st.sampled_from(['paper', 'authors']),
    value=st.integers(0, 255),
)
@settings(deadline=None)
def test_any_size_keeps_shape_type_and_constants(height, width, channels, ratio, dtype, recipe, value):
    image = np.full((height, width, *channels), value, dtype)
    result = low_resolution(image, ratio, recipe=recipe)
    assert result.shape == image.shape and result.dtype == image.dtype
    np.testing.assert_allclose(result, image, atol=1e-3)


def test_a_ratio_beyond_the_image_leaves_one_pixel():
    picture = PICTURES['rocket'][..., 0].astype(np.float32)
    result = low_resolution(picture, 1000)
    assert np.ptp(result) < 1e-3
    np.testing.assert_allclose(result, pil_degrade(picture, (1, 1), 0.5), atol=5e-3)


@pytest.mark.parametrize('ratio', [2, 4, 8, 16])
def test_brightness_stays_and_detail_goes(ratio):
    picture = PICTURES['astronaut'].astype(np.float32)
    result = low_resolution(picture, ratio)
    np.testing.assert_allclose(result.mean((0, 1)), picture.mean((0, 1)), atol=0.5)
    detail = [np.abs(cv2.Laplacian(image, cv2.CV_32F)).mean() for image in (picture, result)]
    assert detail[1] < 0.5 * detail[0]


def test_views_and_read_only_images_work_and_stay_as_they_are():
    picture = PICTURES['chelsea'].copy()
    picture.flags.writeable = False
    for view in (picture, picture[:, ::-1, ::-1], picture.transpose(1, 0, 2)):
        before = view.copy()
        np.testing.assert_array_equal(low_resolution(view, 4), low_resolution(before, 4))
        np.testing.assert_array_equal(view, before)


@pytest.mark.parametrize('small, size', [((24, 24), (112, 112)), ((17, 30), (112, 90)), ((7, 150), (112, 112))])
def test_enlarging_is_pils_bicubic_whose_kernel_is_not_opencvs(small, size):
    picture = PICTURES['astronaut'][..., 1].astype(np.float32)[90 : 90 + small[0], 180 : 180 + small[1]]
    np.testing.assert_allclose(enlarge(picture, size), pil_resize(picture, size), atol=5e-3)
    assert np.abs(enlarge(picture, size) - cv2.resize(picture, size[::-1], interpolation=cv2.INTER_CUBIC)).max() > 1


@pytest.mark.parametrize('recipe', ['paper', 'authors'])
@pytest.mark.parametrize('dtype', DTYPES)
def test_enlarging_the_small_image_by_hand_is_the_degradation(recipe, dtype):
    face = PICTURES['astronaut'][:112, 150:262].astype(dtype)
    if recipe == 'paper':
        small = np.dstack([pil_resize(channel.astype(np.float32), (24, 24)) for channel in np.moveaxis(face, 2, 0)])
        small = small.round().clip(0, 255) if np.issubdtype(dtype, np.integer) else small
    else:
        rows = np.arange(24) * 112 // 24  # nearest, as torch rounds
        small = face[rows][:, rows]
    expected = low_resolution(face, size=24, sigma=0, recipe=recipe)
    found = enlarge(small.astype(dtype), 112, recipe=recipe)
    assert found.dtype == dtype and found.shape == face.shape
    # half a step of the small image, enlarged with a kernel that overshoots, and its clipping
    np.testing.assert_allclose(found.astype(float), expected, atol=3 if np.issubdtype(dtype, np.integer) else 5e-3)


def test_an_image_of_the_size_stays_as_it_is():
    picture = PICTURES['chelsea']
    for recipe in ('paper', 'authors'):
        result = enlarge(picture, picture.shape[:2], recipe=recipe)
        np.testing.assert_array_equal(result, picture)
        assert not np.shares_memory(result, picture)


def test_enlarging_names_what_is_wrong():
    with pytest.raises(ValueError, match='enlarge: found size=0, expected at least 1'):
        enlarge(np.zeros((8, 8), np.uint8), 0)
    with pytest.raises(ValueError, match="recipe='linear', expected 'paper', 'authors', 'camera'"):
        enlarge(np.zeros((8, 8), np.uint8), 16, recipe='linear')
    with pytest.raises(TypeError, match='type int64, expected uint8'):
        enlarge(np.zeros((8, 8), np.int64), 16)


@pytest.mark.parametrize(
    'wrong, message',
    [
        (dict(), 'ratio=None and size=None, expected exactly one'),
        (dict(ratio=2, size=24), 'ratio=2 and size=24, expected exactly one'),
        (dict(ratio=0.5), 'ratio=0.5, expected at least 1'),
        (dict(ratio=float('nan')), 'ratio=nan, expected a finite number, at least 1'),
        (dict(size=0), 'size=0, expected at least 1'),
        (dict(size=(24, 24, 3)), r'size=\(24, 24, 3\), expected 2 whole numbers'),
        (dict(size=2.5), 'size=2.5, expected a whole number'),
        (dict(ratio=2, sigma=-1), 'sigma=-1, expected'),
        (dict(ratio=1, recipe='paper2'), "recipe='paper2', expected 'paper', 'authors', 'camera'"),
    ],
)
def test_wrong_settings_are_named(wrong, message):
    with pytest.raises(ValueError, match=message):
        low_resolution(np.zeros((8, 8), np.uint8), **wrong)


@pytest.mark.parametrize('shape', [(8,), (1, 8, 8, 3), (0, 8), (8, 8, 0)])
def test_wrong_shapes_are_named(shape):
    with pytest.raises(ValueError, match='expected'):
        low_resolution(np.zeros(shape, np.uint8), 2)


@pytest.mark.parametrize(
    'image, found',
    [
        (np.zeros((8, 8), np.int32), 'int32'),
        (np.zeros((8, 8), bool), 'bool'),
        (torch.zeros(8, 8), 'torch.float32'),
        ([[0, 1]], 'list'),
    ],
)
def test_wrong_types_are_named(image, found):
    with pytest.raises(TypeError, match=f'type {found}, expected uint8'):
        low_resolution(image, 2)
