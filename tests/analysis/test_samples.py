"""LR samples are what the paper's recipe makes of a picture in PIL, and the sheet shows them pixel by pixel."""

import re

import cv2
import numpy as np
import pytest
from PIL import Image
from skimage.data import astronaut

from askd_mmdet.analysis.samples import RATIOS, draw_samples, lr_samples
from tests.toy_run import ROOT

PAGE = ROOT / 'docs/analysis.md'


@pytest.fixture(scope='module')
def face():
    """A face, not square; BGR, uint8 (80, 64, 3)."""
    return cv2.cvtColor(astronaut()[60:140, 190:254], cv2.COLOR_RGB2BGR)


def shows(sheet, picture):
    """Whether a picture stands in a sheet, pixel by pixel."""
    views = np.lib.stride_tricks.sliding_window_view(sheet, picture.shape)[:, :, 0]
    tops, lefts = np.nonzero((views[..., 0, 0, :] == picture[0, 0]).all(-1))
    return any((views[top, left] == picture).all() for top, left in zip(tops, lefts))


def pil_recipe(image, ratio):
    """Sec. 3.1: bicubic down as in super-resolution (PIL antialiases), Gaussian blur, bicubic up."""
    height, width = image.shape[:2]
    small = Image.fromarray(image).resize((round(width / ratio), round(height / ratio)), Image.Resampling.BICUBIC)
    blurred = cv2.GaussianBlur(np.asarray(small), (5, 5), 0.5)
    return np.asarray(Image.fromarray(blurred).resize((width, height), Image.Resampling.BICUBIC))


def authors_recipe(image, ratio):
    """The nearest pixels down and up, and a Gaussian of 0.1 and 2 pixels: across it is none."""
    small = image[::ratio, ::ratio]
    large = np.pad(small.repeat(ratio, 0).repeat(ratio, 1), [(2, 2), (0, 0), (0, 0)], 'reflect').astype(float)
    weights = np.exp(-(np.arange(-2, 3) ** 2) / (2 * 2.0**2))
    return sum(w * large[i : i + len(image)] for i, w in enumerate(weights / weights.sum()))


def test_every_sample_is_its_recipe(face):
    samples = lr_samples(face)
    assert list(samples) == [(recipe, ratio) for recipe in ('paper', 'authors') for ratio in RATIOS]
    for (recipe, ratio), sample in samples.items():
        if ratio == 1:
            expected = face
        elif recipe == 'paper':
            expected = pil_recipe(face, ratio)
        elif 80 % ratio or 64 % ratio:
            continue  # where the ratio does not divide the size, the nearest pixels are no plain stride
        else:
            expected = authors_recipe(face, ratio)
        assert sample.shape == face.shape and sample.dtype == np.uint8
        assert np.abs(sample - np.float64(expected)).max() <= 1.01, (recipe, ratio)


def test_a_ratio_that_leaves_no_pixel_is_left_out_of_the_samples_and_said_on_the_sheet(face):
    small = face[:20, :14]
    assert [ratio for _, ratio in lr_samples(small, recipes=['paper'])] == [1, 2, 4, 8]
    assert [ratio for _, ratio in lr_samples(small, (14, 14.5), ['paper'])] == [14]
    missing, there = draw_samples(small, [16], ['paper']), draw_samples(small, [8], ['paper'])
    assert missing.shape == there.shape and (missing < 128).any()  # its place, and the word


def test_the_sheet_shows_samples_pixel_by_pixel_as_large_as_they_fit(face):
    sheet = draw_samples(face)
    assert sheet.dtype == np.uint8 and sheet.shape[2] == 3
    for sample in lr_samples(face).values():
        assert shows(sheet, sample.repeat(2, 0).repeat(2, 1))


@pytest.mark.parametrize('shape', [(1, 1), (3, 2000), (2000, 3), (1500, 1200)])
def test_a_picture_of_any_size_and_form_fits_on_the_sheet(shape):
    """Each in a place of the same width, which a thin strip does not stretch beyond all memory."""
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    sheet = draw_samples(image, ratios=(1, 2), recipes=('paper',))
    assert sheet.shape[1] == draw_samples(image[:1, :1], (1, 2), ('paper',)).shape[1] and sheet.shape[0] < 250


@pytest.mark.parametrize(
    'settings, found',
    [
        (dict(ratios=[]), r'ratios=\[\]'),
        (dict(ratios=[0.5]), r'ratios=\[0.5\]'),
        (dict(recipes=['own']), "recipes='own'"),
        (dict(recipes='paper'), "recipes='paper'"),
    ],
)
def test_a_wrong_setting_is_named(face, settings, found):
    with pytest.raises(ValueError, match=f'lr_samples: found {found}'):
        draw_samples(face, **settings)


@pytest.mark.parametrize('image', [None, np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3))])
def test_what_is_no_picture_is_said(image):
    """None is what OpenCV makes of a file that it cannot read."""
    with pytest.raises(ValueError, match=r'expected a BGR picture, uint8 \(H, W, 3\)'):
        draw_samples(image)


def test_the_page_shows_what_its_lines_make(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r'```python\n(.*?)```', PAGE.read_text(), re.DOTALL)
    names = {}
    for block in blocks:
        if 'draw_samples' in block:
            exec(block, names)
    for name in ('lr_samples.jpg', 'cameras.jpg'):
        made, shown = (cv2.imread(str(folder / name)).astype(int) for folder in (tmp_path, PAGE.parent))
        assert np.abs(made - shown).mean() < 2
        assert (PAGE.parent / name).stat().st_size < 150_000
