"""The runner by itself: its arithmetic against torch's, its errors, and that it needs no torch."""

import shutil
import subprocess
import sys

import cv2
import numpy as np
import onnx
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from skimage import data
from torchvision.ops import nms

from askd_mmdet.degradation.low_resolution import enlarge
from askd_mmdet.export import runner
from askd_mmdet.export.exporting import export_detector, export_embedder
from askd_mmdet.export.runner import OnnxFaceDetector, OnnxFaceEmbedder, suppress
from askd_mmdet.training.pictures import read_picture
from tests.export.networks import build_detector, build_embedder, pictures


@pytest.fixture(scope='module')
def files(tmp_path_factory):
    """A detector and an embedder."""
    folder = tmp_path_factory.mktemp('runner')
    export_detector(build_detector('bn', folder), folder / 'detector.onnx', pictures=pictures(1))
    export_embedder(build_embedder(folder), folder / 'embedder.onnx', pictures(1))
    return folder


GREYS = np.arange(64, dtype=np.uint16).reshape(8, 8) * 1024


@pytest.mark.parametrize(
    'picture, name',
    [
        (Image.fromarray(GREYS), 'a.png'),
        (Image.fromarray(GREYS), 'a.tif'),
        (Image.fromarray(GREYS), 'a.pgm'),
        (Image.fromarray((GREYS >> 8).astype(np.uint8)), 'a.png'),
        (Image.new('LA', (8, 8), (0, 128)), 'a.png'),
        (Image.new('RGBA', (8, 8), (9, 80, 200, 30)), 'a.png'),
        (Image.new('CMYK', (8, 8), (9, 80, 200, 30)), 'a.tif'),
        (Image.fromarray(data.astronaut()).convert('P'), 'a.png'),
        (Image.fromarray(data.astronaut()), 'a.jpg'),
    ],
    ids=lambda value: getattr(value, 'mode', value),
)
@pytest.mark.parametrize('turned', [1, 6])
def test_it_reads_pictures_as_the_embedder_in_torch_does(tmp_path, picture, name, turned):
    exif = Image.Exif()
    exif[0x0112] = turned
    picture.save(tmp_path / name, **({} if name == 'a.pgm' else dict(exif=exif)))
    found, expected = runner.read_picture(tmp_path / name), read_picture(tmp_path / name)
    # Of JPEGs, two libraries round two thirds of the pixels alike.
    assert np.abs(found.astype(int) - expected).max() <= 2 * name.endswith('jpg') and found.shape == expected.shape


@pytest.mark.parametrize('kind', [np.float32, np.int32])
def test_pixels_without_a_range_are_refused(tmp_path, kind):
    Image.fromarray(GREYS.astype(kind)).save(tmp_path / 'a.tif')
    with pytest.raises(ValueError, match='have no range that is known'):
        runner.read_picture(tmp_path / 'a.tif')


@given(st.integers(0, 2**32 - 1), st.integers(0, 60), st.sampled_from([0.0, 0.3, 0.5, 0.9]))
def test_suppression_is_torchvisions(seed, count, threshold):
    rng = np.random.default_rng(seed)
    corners = rng.uniform(0, 20, (count, 2))
    boxes = np.hstack([corners, corners + rng.uniform(1, 20, (count, 2))]).astype(np.float32)
    scores = rng.permutation(count).astype(np.float32)
    expected = nms(torch.from_numpy(boxes), torch.from_numpy(scores), threshold)
    assert suppress(boxes, scores, threshold).tolist() == expected.tolist()


def test_boxes_without_area_suppress_nothing():
    boxes = np.float32([[1, 1, 1, 1], [1, 1, 1, 1], [0, 0, 2, 2]])
    assert suppress(boxes, np.float32([0.1, 0.2, 0.3]), 0.5).tolist() == [2, 1, 0]


@given(st.integers(1, 300), st.integers(1, 300), st.sampled_from([16, 112, 128]))
def test_pictures_are_resized_as_the_network_knows_them(height, width, size):
    picture = np.ascontiguousarray(data.astronaut()[:height, 100 : 100 + width])

    class File:
        settings = dict(size=size)

    found = OnnxFaceEmbedder.prepare(File, picture)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, enlarge(picture, size))


def test_files_are_pictures_and_those_that_cannot_be_read_are_named(files, tmp_path):
    picture = pictures(1)[0]
    good, cut, gone = (tmp_path / name for name in ('gut, ü.png', 'cut.png', 'gone.png'))
    cv2.imwrite(str(good), picture)
    cut.write_bytes(good.read_bytes()[:-500])
    detector, embedder = (
        OnnxFaceDetector(files / 'detector.onnx', min_score=0),
        OnnxFaceEmbedder(files / 'embedder.onnx'),
    )
    found, unreadable = detector.detect_readable([good, cut, picture, gone], batch_size=2)
    assert unreadable == [1, 3] and len(found) == 2
    np.testing.assert_array_equal(found[0].boxes, found[1].boxes)
    embeddings, unreadable = embedder.embed_readable(iter([cut, good, str(good)]))
    assert unreadable == [0] and embeddings.shape[0] == 2
    for method in (detector.detect, embedder.embed):
        with pytest.raises(ValueError, match=r'cannot read 2 of 3 pictures: .*cut.png, .*gone.png; check'):
            method([good, cut, gone])
    assert detector.detect_readable([cut]) == ([], [0]) and detector.detect([]) == []
    with pytest.raises(ValueError, match='cannot read any of 1 pictures'):
        embedder.embed_readable([gone])
    with pytest.raises(ValueError, match=r'found an image float64 \(4, 4, 3\), expected BGR, uint8'):
        detector.detect([np.zeros((4, 4, 3))])


@pytest.mark.parametrize('shape', [(1, 1), (1, 400), (3000, 2)])
def test_pictures_of_any_shape_pass(files, shape):
    picture = np.full((*shape, 3), 90, np.uint8)
    (found,) = OnnxFaceDetector(files / 'detector.onnx', min_score=0).detect([picture])
    assert (found.boxes >= 0).all() and (found.boxes[:, 2:] <= shape[::-1]).all()
    assert OnnxFaceEmbedder(files / 'embedder.onnx').embed([picture]).shape == (1, 256)


def test_files_of_another_kind_are_refused(files, tmp_path):
    with pytest.raises(FileNotFoundError, match=r'no ONNX file at .*gone\.onnx; askd export writes one'):
        OnnxFaceDetector(tmp_path / 'gone.onnx')
    (tmp_path / 'text.onnx').write_text('no network')
    with pytest.raises(ValueError, match=r'text\.onnx is no ONNX file that can be run'):
        OnnxFaceDetector(tmp_path / 'text.onnx')
    with pytest.raises(ValueError, match='found embedder, expected the detector of an askd export'):
        OnnxFaceDetector(files / 'embedder.onnx')
    foreign = onnx.load(files / 'embedder.onnx')
    del foreign.metadata_props[:]
    onnx.save(foreign, tmp_path / 'foreign.onnx')
    with pytest.raises(ValueError, match='found a network of somebody else, expected the embedder'):
        OnnxFaceEmbedder(tmp_path / 'foreign.onnx')
    for device in ('abacus', 'cuda:1'):
        with pytest.raises(ValueError, match=f"cannot use the device '{device}': this onnxruntime has cpu"):
            OnnxFaceEmbedder(files / 'embedder.onnx', device)


def test_a_copy_of_the_runner_runs_without_torch_and_without_us(files, tmp_path):
    """In a process where torch and the package cannot be imported."""
    shutil.copy(runner.__file__, tmp_path / 'faces.py')
    cv2.imwrite(str(tmp_path / 'a.png'), pictures(1)[0])
    code = (
        'import sys\n'
        'sys.modules.update(torch=None, askd_mmdet=None, mmcv=None, mmengine=None)\n'
        'from faces import OnnxFaceDetector, OnnxFaceEmbedder\n'
        "(found,) = OnnxFaceDetector(sys.argv[1] + '/detector.onnx', min_score=0).detect(['a.png'])\n"
        "print(len(found.scores), *OnnxFaceEmbedder(sys.argv[1] + '/embedder.onnx').embed(['a.png']).shape)\n"
    )
    done = subprocess.run([sys.executable, '-c', code, str(files)], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (found,) = OnnxFaceDetector(files / 'detector.onnx', min_score=0).detect([tmp_path / 'a.png'])
    assert done.stdout.split() == [str(len(found.scores)), '1', '256']


def test_our_own_runner_imports_no_torch():
    code = "import sys, askd_mmdet.export.runner; assert not {'torch', 'mmcv', 'mmengine'} & set(sys.modules)"
    subprocess.run([sys.executable, '-c', code], check=True)
