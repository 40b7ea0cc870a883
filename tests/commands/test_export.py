"""`askd export`, and the commands that take its files."""

import json
import sys

import cv2
import numpy as np
import onnxruntime
import pytest
import torch
from skimage.data import lfw_subset

from askd_mmdet.analysis.networks import open_detector, open_embedder
from askd_mmdet.detection.detector import FaceDetector
from askd_mmdet.export.exporting import unmatched
from askd_mmdet.export.runner import Detections, OnnxFaceDetector, OnnxFaceEmbedder
from askd_mmdet.recognition import FaceEmbedder
from askd_mmdet.recognition.embedder import read_faces
from tests.export.networks import detector_config, embedder_config, pictures, save_weights

DETECTOR, EMBEDDER = 'askd_mmdet::toy/tinaface_r50-bn-cbam_toy.py', 'askd_mmdet::toy/arcface_ir18-cbam_toy.py'


@pytest.fixture(scope='module')
def weights(tmp_path_factory):
    folder = tmp_path_factory.mktemp('weights')
    save_weights(detector_config('bn'), folder / 'detector.pth')
    save_weights(embedder_config(), folder / 'embedder.pth')
    return folder


@pytest.fixture
def faces(tmp_path):
    """Six real faces, and the file of an embedder."""
    for i, face in enumerate(np.uint8(lfw_subset()[:6] * 255)):
        (tmp_path / 'faces').mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / f'faces/{i}.png'), face)
    return tmp_path


def test_both_kinds_of_networks_are_exported(askd, weights, tmp_path):
    (tmp_path / 'pictures').mkdir()
    cv2.imwrite(str(tmp_path / 'pictures/a.png'), pictures(1)[0])
    for arguments, inputs in (
        (
            (DETECTOR, weights / 'detector.pth', tmp_path / 'plain.onnx', '--pictures', tmp_path / 'pictures'),
            ['images'],
        ),
        ((DETECTOR, weights / 'detector.pth', tmp_path / 'new/nms.onnx', '--nms'), ['images', 'scale']),
        ((EMBEDDER, weights / 'embedder.pth', tmp_path / 'embedder.onnx'), ['images']),
        ((EMBEDDER, weights / 'embedder.pth', tmp_path / 'half.onnx', '--fp16'), ['images']),
    ):
        status, output, errors = askd('export', *arguments)
        assert status == 0, errors
        path = arguments[2]
        assert output.startswith(f'{path}: ') and 'largest differences from torch: ' in output
        assert ('on 1 pictures' in output) == ('--pictures' in arguments)
        assert [each.name for each in onnxruntime.InferenceSession(path).get_inputs()] == inputs


def test_commands_take_an_onnx_file_instead_of_config_and_checkpoint(askd, weights, faces):
    model = faces / 'model.onnx'
    assert askd('export', EMBEDDER, weights / 'embedder.pth', model)[0] == 0
    status, output, errors = askd('embed', model, '--batch-size', 4, faces / 'faces', faces / 'onnx.npz')
    assert status == 0 and '6 faces' in output, errors
    status, *_ = askd(
        'embed', EMBEDDER, '--device', 'cpu', weights / 'embedder.pth', faces / 'faces', faces / 'torch.npz'
    )
    found, expected = read_faces(faces / 'onnx.npz'), read_faces(faces / 'torch.npz')
    assert found.names == expected.names and found.fingerprint == expected.fingerprint
    np.testing.assert_allclose(found.embeddings, expected.embeddings, atol=1e-5)
    pair = faces / 'faces/0.png', faces / 'faces/1.png'
    compared = [askd('compare', *network, *pair)[1] for network in ([model], [EMBEDDER, weights / 'embedder.pth'])]
    assert float(compared[0]) == pytest.approx(float(compared[1]), abs=1e-4)
    # A gallery of the same weights in torch.
    status, output, errors = askd('search', model, pair[0], faces / 'torch.npz', '--top', 2)
    assert status == 0 and len(output.splitlines()) == 2, errors


def test_detect_takes_an_onnx_file_too(askd, weights, tmp_path):
    detector, model = (DETECTOR, weights / 'detector.pth'), tmp_path / 'model.onnx'
    assert askd('export', *detector, model)[0] == 0
    files = [tmp_path / f'{i}.png' for i in range(3)]
    for path, picture in zip(files, pictures(3)):
        cv2.imwrite(str(path), picture)
    found = []
    for network in ([model], detector):
        out = tmp_path / f'found{len(found)}'
        arguments = '--score', 0.1, '--no-pictures', '--out', out, '--json', out / 'faces.json'
        status, _, errors = askd('detect', *network, *files, *arguments)
        assert status == 0, errors
        content = json.loads((out / 'faces.json').read_text())
        found.append([Detections(*map(np.float32, (each['boxes'], each['scores']))) for each in content])
    assert len(found[0]) == 3 and all(len(each.scores) for each in found[0])
    assert [unmatched(*pair) for pair in zip(*found)] == [0] * 3
    status, _, errors = askd('detect', model, files[0], '--classes', 0, '--out', tmp_path / 'a')
    assert status == 1 and 'knows faces alone' in errors


def test_what_is_opened(askd, weights, faces):
    for config, kind in ((DETECTOR, 'detector'), (EMBEDDER, 'embedder')):
        assert askd('export', config, weights / f'{kind}.pth', faces / f'{kind}.onnx')[0] == 0
    detector = open_detector(str(faces / 'detector.onnx'), min_score=0.1)
    assert isinstance(detector, OnnxFaceDetector) and detector.min_score == 0.1
    detector = open_detector(DETECTOR, weights / 'detector.pth', 'cpu', min_score=0.1)
    assert isinstance(detector, FaceDetector) and detector.min_score == 0.1
    assert isinstance(open_embedder(str(faces / 'embedder.onnx')), OnnxFaceEmbedder)
    options = ['model.backbone.dropout=0.1']
    assert isinstance(open_embedder(EMBEDDER, weights / 'embedder.pth', options=options), FaceEmbedder)


def test_pictures_that_cannot_be_read_are_named_and_left_out(askd, weights, faces, capsys):
    (faces / 'faces/2.png').write_bytes(b'damaged')
    command = 'export', EMBEDDER, weights / 'embedder.pth', faces / 'e.onnx', '--pictures', faces / 'faces'
    status, output, errors = askd(*command)
    assert status == 0 and 'on 5 pictures' in output, errors
    assert (
        f'cannot read {faces}/faces/2.png (no picture), left it out' in errors
        and 'comparing with torch: 5 in' in errors
    )
    for path in (faces / 'faces').iterdir():
        path.write_bytes(b'damaged')
    status, _, errors = askd(*command)
    assert status == 1 and f'{faces}/faces: none of 6 pictures can be read' in errors


def test_mistakes_are_one_message(askd, weights, faces):
    (faces / 'empty').mkdir()
    torch.save({}, faces / 'none.pth')
    network = EMBEDDER, weights / 'embedder.pth'
    (faces / 'm.onnx').write_text('no network')
    for arguments, message in (
        (('export', *network, faces / 'a.pth'), 'a.pth should end with .onnx'),
        (('export', *network, faces / 'a.onnx', '--nms'), '--nms is for detectors'),
        (('export', *network, faces / 'a.onnx', '--pictures', faces / 'empty'), 'empty holds no picture'),
        (('export', EMBEDDER, faces / 'none.pth', faces / 'a.onnx'), 'does not fit FaceRecognizer'),
        (('compare', EMBEDDER, faces / 'faces/0.png', faces / 'faces/1.png'), 'expected a checkpoint after the config'),
        (('compare', 'm.onnx', 'a.pth', faces / 'faces/0.png', faces / 'faces/1.png'), 'm.onnx holds its own weights'),
        (('compare', 'm.onnx', '--degrade', faces / 'faces/0.png', faces / 'faces/1.png'), 'name no checkpoint'),
        (
            ('compare', faces / 'm.onnx', faces / 'faces/0.png', faces / 'faces/1.png'),
            'is no ONNX file that can be run',
        ),
        (('embed', 'gone.onnx', faces / 'faces', faces / 'a.npz'), 'no ONNX file at gone.onnx'),
    ):
        status, output, errors = askd(*arguments)
        assert status == 1 and output == '' and message in errors, errors
    assert not (faces / 'a.onnx').exists()


def test_without_the_extra_it_says_what_to_install(askd, weights, faces, monkeypatch):
    for name in ('exporting', 'network', 'runner'):
        monkeypatch.delitem(sys.modules, f'askd_mmdet.export.{name}', raising=False)
    monkeypatch.delattr('askd_mmdet.export.runner')  # where the package keeps it
    for name in ('onnx', 'onnxruntime'):
        monkeypatch.setitem(sys.modules, name, None)
    for arguments in (
        ('export', EMBEDDER, weights / 'embedder.pth', faces / 'a.onnx'),
        ('embed', 'm.onnx', faces / 'faces', faces / 'a.npz'),
    ):
        status, _, errors = askd(*arguments)
        assert status == 1 and "pip install 'askd_mmdet[onnx]'" in errors, errors
