"""`askd embed` and `search` of photographs, next to detector, crop and embedder called one by one."""

import sys
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch

from askd_mmdet.detection import FaceDetector
from askd_mmdet.recognition import FaceEmbedder
from askd_mmdet.recognition.alignment import align_box
from askd_mmdet.recognition.embedder import read_faces
from askd_mmdet.training.config import load_config
from askd_mmdet.training.pictures import find_pictures, read_picture
from tests.commands.test_embed_compare_search import network  # noqa: F401
from tests.toy_run import HR, random_network

DETECTOR = f'askd_mmdet::toy/{HR}.py'


@pytest.fixture(scope='module')
def photographs(toy_data, tmp_path_factory):
    """Four toy photographs, and a damaged one."""
    folder = tmp_path_factory.mktemp('photographs')
    for name in find_pictures(toy_data / 'WIDER_val/images'):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes((toy_data / 'WIDER_val/images' / name).read_bytes())
    (folder / 'cut.jpg').write_bytes((folder / name).read_bytes()[:500])
    return folder


@pytest.fixture(scope='module')
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp('detector') / 'detector.pth'
    random_network(load_config(DETECTOR), path)
    return path


@pytest.fixture(scope='module')
def score(photographs, weights):
    """A score that most photographs have faces above, and one has not."""
    detector = FaceDetector(DETECTOR, weights, 'cpu', min_score=0)
    paths = [photographs / name for name in find_pictures(photographs) if name != 'cut.jpg']
    best = sorted(found.scores[0] for found in detector.detect(paths))
    assert best[0] < best[1]
    return float(best[0] + best[1]) / 2


@pytest.fixture
def tool(askd, network, weights, score, monkeypatch):  # noqa: F811
    """Runs a command with both networks and no MTCNN; returns status, output and errors."""
    monkeypatch.setitem(sys.modules, 'facenet_pytorch', None)
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    photographs_too = ('--detector', DETECTOR, weights, '--min-score', score)
    return lambda name, *arguments: askd(name, network / 'config.py', network / '0.pth', *arguments, *photographs_too)


def by_hand(network, weights, score, photographs):  # noqa: F811
    """Names, boxes and embeddings of all faces."""
    detector = FaceDetector(DETECTOR, weights, 'cpu', min_score=score)
    names, boxes, crops = [], [], []
    for name in find_pictures(photographs):
        if name != 'cut.jpg':
            for i, box in enumerate(detector.detect([photographs / name])[0].boxes):
                names.append(f'{name}#{i}')
                boxes.append(box)
                crops.append(align_box(read_picture(photographs / name), box))
    embedder = FaceEmbedder(network / 'config.py', network / '0.pth', 'cpu')
    return names, np.array(boxes), embedder.embed(crops)


def test_a_folder_of_photographs_becomes_a_gallery(tool, network, weights, score, photographs, tmp_path):  # noqa: F811
    status, output, errors = tool('embed', photographs, tmp_path / 'gallery.npz')
    assert status == 0, errors
    names, boxes, embeddings = by_hand(network, weights, score, photographs)
    faces = read_faces(tmp_path / 'gallery.npz')
    assert faces.names == names and len({name.rpartition('#')[0] for name in names}) == 3
    np.testing.assert_array_equal(faces.boxes, boxes)
    np.testing.assert_allclose(faces.embeddings, embeddings, atol=1e-5)
    assert f'{len(names)} faces, 16 numbers each' in output
    assert f'warning: cannot read {photographs / "cut.jpg"}, left it out' in errors
    assert errors.count('warning: found no face in ') == 1
    assert '1 that cannot be read, 1 without a face' in errors
    assert f'{len(names)} faces without landmarks are cut out by their box' in errors
    assert errors.count('MTCNN is not installed') == 1
    assert "pip install 'askd_mmdet[align]'" in errors


def test_a_photograph_is_searched_in_it_with_a_sheet(tool, network, weights, score, photographs, tmp_path):  # noqa: F811
    tool('embed', photographs, tmp_path / 'gallery.npz')
    names, boxes, embeddings = by_hand(network, weights, score, photographs)
    probe = names[0].rpartition('#')[0]
    sheet = tmp_path / 'sheet.png'
    for gallery in (tmp_path / 'gallery.npz', photographs):
        status, output, errors = tool('search', photographs / probe, gallery, '--top', 2, '--sheet', sheet)
        assert status == 0, errors
        rows = [line.split('\t') for line in output.splitlines()]
        own = [i for i, name in enumerate(names) if name.startswith(f'{probe}#')]
        others = [i for i in range(len(names)) if i not in own]  # its own photograph it need not find
        cosines = embeddings[own] @ embeddings[others].T
        expected = [others[j] for row in cosines for j in np.argsort(-row)[:2]]
        assert [float(row[3]) for row in rows] == pytest.approx(-np.sort(-cosines)[:, :2].ravel(), abs=2e-4)
        assert [row[2] for row in rows] == [names[i] for i in expected]
        assert [row[0] for row in rows] == [
            f'{probe.rpartition("/")[2]}#{i}' for i in range(len(own)) for _ in range(2)
        ]
    drawn = cv2.imread(str(sheet))
    assert drawn.shape == (148 * len(own), 3 * 112, 3)
    for column, i in enumerate((own[0], *expected[:2])):
        face = align_box(read_picture(photographs / names[i].rpartition('#')[0]), boxes[i])
        np.testing.assert_array_equal(drawn[:112, 112 * column : 112 * (column + 1)], face)


def test_where_mtcnn_finds_no_landmarks_it_says_so(tool, photographs, tmp_path, monkeypatch):
    class Blind:
        def __init__(self, **settings):
            pass

        def detect(self, image, landmarks):
            return None, [None], None

    monkeypatch.setitem(sys.modules, 'facenet_pytorch', SimpleNamespace(MTCNN=Blind))
    status, _, errors = tool('embed', photographs, tmp_path / 'gallery.npz')
    assert (
        status == 0 and 'faces without landmarks are cut out by their box' in errors and 'not installed' not in errors
    )


def test_onnx_files_find_and_embed_the_same(askd, photographs, tmp_path, monkeypatch):
    pytest.importorskip('onnxruntime', reason='onnxruntime is not installed')
    pytest.importorskip('onnx', reason='onnx is not installed')
    from askd_mmdet.export.exporting import export_detector, export_embedder
    from tests.export.networks import build_detector, build_embedder

    monkeypatch.setitem(sys.modules, 'facenet_pytorch', None)
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    detector, embedder = build_detector('bn', tmp_path), build_embedder(tmp_path)
    paths = [photographs / name for name in find_pictures(photographs) if name != 'cut.jpg']
    scores = np.sort(np.concatenate([found.scores for found in detector.detect(paths)]))[-12:]
    border = np.diff(scores).argmax()  # no rounding carries a score over it
    export_detector(detector, tmp_path / 'detector.onnx')
    export_embedder(embedder, tmp_path / 'embedder.onnx')
    embedders = ('askd_mmdet::toy/arcface_ir18-cbam_toy.py', tmp_path / 'embedder.pth'), (tmp_path / 'embedder.onnx',)
    detectors = (DETECTOR, tmp_path / 'bn.pth'), (tmp_path / 'detector.onnx',)
    galleries = []
    for embedded_by, found_by in zip(embedders, detectors):
        options = '--min-score', scores[border : border + 2].mean(), '--detector', *found_by
        status, _, errors = askd('embed', *embedded_by, photographs, tmp_path / 'gallery.npz', *options)
        assert status == 0, errors
        galleries.append(read_faces(tmp_path / 'gallery.npz'))
    torchs, onnxs = galleries
    assert torchs.names == onnxs.names and torchs.fingerprint == onnxs.fingerprint
    np.testing.assert_allclose(onnxs.boxes, torchs.boxes, atol=0.1)
    np.testing.assert_allclose(onnxs.embeddings, torchs.embeddings, atol=0.01)  # of crops that lie 0.1 pixels apart
    # A gallery of one is searched by the other.
    name = torchs.names[0].rpartition('#')[0]
    arguments = photographs / name, tmp_path / 'gallery.npz', *options[:2], '--detector', *detectors[0]
    assert askd('search', *embedders[0], *arguments)[0] == 0


def test_a_detector_is_named_by_two_files_or_one(askd, network, weights, photographs, tmp_path):  # noqa: F811
    embedder = network / 'config.py', network / '0.pth'
    for named, message in (
        ((DETECTOR, weights, weights), f'a config and a checkpoint, or an ONNX file; found {DETECTOR} {weights}'),
        ((DETECTOR,), 'expected a checkpoint'),
        ((DETECTOR, tmp_path / 'gone.pth'), 'gone.pth'),
        ((tmp_path / 'gone.onnx',), 'onnx'),
    ):
        status, _, errors = askd('embed', *embedder, photographs, tmp_path / 'a.npz', '--detector', *named)
        assert status == 1 and message in errors and not (tmp_path / 'a.npz').exists(), errors


def test_mistakes_are_one_message(tool, photographs, tmp_path):
    for arguments, message in (
        (
            ('search', photographs / 'cut.jpg', photographs),
            f'found no face in 1 photographs of {photographs}, 1 of which cannot be read',
        ),
        (('embed', photographs, tmp_path / 'a.npz', '--device', 'abacus'), "device 'abacus'"),
    ):
        status, output, errors = tool(*arguments)
        assert (status, output) == (1, '') and message in errors, errors
