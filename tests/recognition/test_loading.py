"""Decoding against Pillow, and what cannot be decoded."""

import io

import numpy as np
import pytest
from mmengine.registry import TRANSFORMS
from PIL import Image

from askd_mmdet.recognition.loading import LoadFaceImage
from tests.recognition.formats import jpeg


def decoded(content):
    """BGR, by Pillow."""
    return np.array(Image.open(io.BytesIO(content)).convert('RGB'))[..., ::-1]


@pytest.mark.parametrize('to_float32', [False, True])
def test_bytes_and_files_are_decoded_alike(tmp_path, to_float32):
    (tmp_path / 'a.jpg').write_bytes(jpeg(1))
    load = TRANSFORMS.build(dict(type='LoadFaceImage', to_float32=to_float32))
    file = load(dict(img_path=str(tmp_path / 'a.jpg'), gt_label=3))
    record = load(dict(img_path='train.rec#1', img_bytes=jpeg(1), gt_label=3))
    for results in (file, record):
        assert (results['img'] == decoded(jpeg(1))).all() and results['img'].flags.writeable
        assert results['img'].dtype == (np.float32 if to_float32 else np.uint8)
        assert results['img_shape'] == results['ori_shape'] == (16, 16) and results['gt_label'] == 3
    assert 'img_bytes' not in record  # it would be sent along with every sample


@pytest.mark.parametrize('mode', ['L', 'P', 'RGBA', 'CMYK'])
def test_every_mode_becomes_three_channels(mode):
    stream = io.BytesIO()
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (6, 9, 3), np.uint8)).convert(mode)
    picture.save(stream, 'tiff' if mode == 'CMYK' else 'png')
    results = LoadFaceImage()(dict(img_path='x', img_bytes=stream.getvalue()))
    assert results['img'].shape == (6, 9, 3) and results['img_shape'] == (6, 9)


@pytest.mark.parametrize(
    'content', [b'', b'<html>404</html>', jpeg()[:-40], jpeg()[:200]], ids=['empty', 'text', 'truncated', 'header']
)
def test_what_is_no_whole_picture_is_none(tmp_path, content):
    (tmp_path / 'a.jpg').write_bytes(content)
    assert LoadFaceImage()(dict(img_path='train.rec#1', img_bytes=content)) is None
    assert LoadFaceImage()(dict(img_path=str(tmp_path / 'a.jpg'))) is None


def test_a_missing_file_is_none(tmp_path):
    assert LoadFaceImage()(dict(img_path=str(tmp_path / 'nowhere.jpg'))) is None
