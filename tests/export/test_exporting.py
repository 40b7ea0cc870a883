"""ONNX files against the networks in torch from which they come, and files that differ."""

import copy

import numpy as np
import onnx
import pytest
import torch
from mmcv.ops import DeformConv2dPack, ModulatedDeformConv2dPack
from torch import nn

from askd_mmdet.export import exporting
from askd_mmdet.export.exporting import (
    check_candidates,
    check_embeddings,
    check_suppression,
    export_detector,
    export_embedder,
    unmatched,
)
from askd_mmdet.export.network import DetectorNetwork, EmbedderNetwork, with_torchvision_operators
from askd_mmdet.export.runner import Detections, OnnxFaceDetector, OnnxFaceEmbedder
from tests.export.networks import build_detector, build_embedder, detector_config, pictures

VARIANTS = ('bn', 'gn-dcn')


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp('export')


@pytest.fixture(scope='module', params=VARIANTS)
def detector(request, folder):
    """A detector, and its files without and with NMS."""
    detector = build_detector(request.param, folder)
    files = folder / f'{request.param}.onnx', folder / f'{request.param}-nms.onnx'
    for path, nms in zip(files, (False, True)):
        export_detector(detector, path, nms, pictures(2))
    return detector, *files


@pytest.fixture(scope='module')
def embedder(folder):
    embedder = build_embedder(folder)
    export_embedder(embedder, folder / 'embedder.onnx')
    return embedder, folder / 'embedder.onnx'


@pytest.mark.parametrize('kind', [DeformConv2dPack, ModulatedDeformConv2dPack])
@pytest.mark.parametrize('settings', [{}, dict(stride=2), dict(dilation=2, padding=2), dict(groups=2, deform_groups=2)])
def test_torchvision_deforms_as_mmcv_does_to_the_last_bit(kind, settings):
    torch.manual_seed(0)
    layer = kind(8, 12, 3, **{'padding': 1, **settings}).eval()
    nn.init.normal_(layer.conv_offset.weight, 0, 0.3)
    x = torch.randn(2, 8, 17, 13)
    with torch.no_grad():
        expected = layer(x)
        plain = nn.functional.conv2d(x, layer.weight, None, layer.stride, layer.padding, layer.dilation, layer.groups)
        assert torch.equal(with_torchvision_operators(layer)(x), expected)
    assert not torch.allclose(expected, plain, atol=0.1)


@pytest.mark.parametrize('nms', [False, True])
def test_a_file_finds_the_faces_that_torch_finds_on_20_real_pictures(detector, nms):
    detector, *files = detector
    found = OnnxFaceDetector(files[nms], 'cpu', min_score=0).detect(pictures())
    expected = detector.detect(pictures())
    assert [unmatched(*pair) for pair in zip(found, expected)] == [0] * 20
    assert all(len(each.scores) for each in found)
    for each in found:
        assert each.boxes.dtype == each.scores.dtype == np.float32 and (np.diff(each.scores) <= 0).all()


def test_in_float16_a_file_is_half_as_large_and_gives_nearly_the_same(detector, tmp_path):
    detector, full, _ = detector
    half = tmp_path / 'half.onnx'
    said = export_detector(detector, half, pictures=pictures(2), half=True)
    assert half.stat().st_size < 0.6 * full.stat().st_size
    weights = {tensor.data_type for tensor in onnx.load(half).graph.initializer if len(tensor.dims) == 4}
    assert weights == {onnx.TensorProto.FLOAT16}
    files = [OnnxFaceDetector(file, 'cpu') for file in (half, full)]
    image = dict(images=files[0].prepare(pictures(1)[0])[None])
    (boxes, scores), expected = (file.session.run(None, image) for file in files)
    assert boxes.dtype == scores.dtype == np.float32
    off = [np.abs(a - b).max() for a, b in zip((boxes, scores), expected)]
    assert 0.001 < off[0] < 1 and 1e-5 < off[1] < 0.01 and 'boxes 0.' in said
    with pytest.raises(ValueError, match='expected one of them'):
        export_detector(detector, half, nms=True, half=True)


@pytest.mark.parametrize('shape', [(1, 64, 64), (3, 101, 77), (2, 33, 190)])
def test_a_file_takes_any_number_of_pictures_of_any_size(detector, shape):
    detector, file, _ = detector
    images = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    network = DetectorNetwork(detector.model)
    with torch.no_grad():
        expected = network(torch.from_numpy(images))
    for a, b in zip(OnnxFaceDetector(file).session.run(None, dict(images=images)), expected):
        np.testing.assert_allclose(a, b.numpy(), atol=1e-3, rtol=1e-4)
    boxes, scores = expected
    assert boxes.shape[:2] == scores.shape and len(scores) == shape[0]
    assert (boxes >= 0).all() and (boxes[..., 0::2] <= shape[2]).all() and (boxes[..., 1::2] <= shape[1]).all()
    assert scores.std() > 0.01


def test_a_batch_finds_what_its_pictures_find_alone(detector):
    _, file, _ = detector
    runner, images = OnnxFaceDetector(file, min_score=0.1), pictures(3) + pictures(3)[2:] * 2
    alone = [runner.detect([image])[0] for image in images]
    assert [unmatched(*pair) for pair in zip(runner.detect(images, batch_size=3), alone)] == [0] * 5


def test_the_minimum_score_is_that_of_torch(detector, folder):
    detector, *files = detector
    every = np.concatenate([each.scores for each in detector.detect(pictures(4))])
    middle = float(np.median(every))
    expected = build_detector(files[0].stem, folder, middle).detect(pictures(4))
    assert sum(len(each.scores) for each in expected) == (every >= middle).sum() < len(every)
    for file in files:
        found = OnnxFaceDetector(file, min_score=middle).detect(pictures(4))
        assert [unmatched(*pair) for pair in zip(found, expected)] == [0] * 4


def test_a_file_is_one_and_says_what_it_needs(detector, folder):
    detector, file, _ = detector
    settings = OnnxFaceDetector(file).settings
    assert settings['scale'] == [160, 160] and settings['iou_threshold'] == 0.45 and settings['min_face_height'] == 4
    assert OnnxFaceDetector(file).fingerprint == detector.fingerprint
    names = [path.name for path in folder.iterdir() if path.suffix != '.pth']
    assert all(name.endswith('.onnx') for name in names)
    assert not any(tensor.external_data for tensor in onnx.load(file, load_external_data=False).graph.initializer)


def test_the_network_that_was_exported_stays_as_it_was(detector):
    detector, *_ = detector
    operators = [module for module in detector.model.modules() if isinstance(module, DeformConv2dPack)]
    assert not any('forward' in vars(module) for module in operators)
    assert not detector.model.training


def test_embeddings_are_those_of_torch_on_20_real_pictures(embedder):
    embedder, file = embedder
    found = OnnxFaceEmbedder(file).embed(pictures(), batch_size=7)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, embedder.embed(pictures()), atol=1e-5)
    assert np.abs(found[0] - found[1]).max() > 1e-3
    assert OnnxFaceEmbedder(file).fingerprint == embedder.fingerprint


def test_an_embedder_in_float16(embedder, tmp_path):
    embedder, file = embedder
    export_embedder(embedder, tmp_path / 'half.onnx', half=True)
    assert (tmp_path / 'half.onnx').stat().st_size < 0.6 * file.stat().st_size
    found = OnnxFaceEmbedder(tmp_path / 'half.onnx').embed(pictures())
    assert found.dtype == np.float32
    difference = np.abs(found - embedder.embed(pictures())).max()
    assert 1e-6 < difference < 2e-3


def test_compare(embedder):
    embedder, file = embedder
    a, b = pictures(2)
    assert OnnxFaceEmbedder(file).compare(a, b) == pytest.approx(embedder.compare(a, b), abs=1e-5)
    assert OnnxFaceEmbedder(file).compare(a, a) == pytest.approx(1, abs=1e-6)


def changed(in_use, name):
    """The same detector or embedder with another value in a weight."""
    in_use = copy.copy(in_use)
    in_use.model = copy.deepcopy(in_use.model)
    with torch.no_grad():
        in_use.model.get_parameter(name)[0] += 0.1
    return in_use


def test_the_check_fails_where_weights_differ(detector, embedder):
    detector, file, _ = detector
    check_candidates(file, detector, pictures(1))
    with pytest.raises(
        ValueError, match=r'onnxruntime differs from torch in boxes by [\d.]+ px, expected at most 0.1;'
    ):
        check_candidates(file, changed(detector, 'bbox_head.retina_reg.bias'), pictures(1))
    with pytest.raises(ValueError, match=r'differs from torch in scores by [\d.]+, expected at most 0.001'):
        check_candidates(file, changed(detector, 'bbox_head.retina_iou.bias'), pictures(1))
    embedder, file = embedder
    check_embeddings(file, embedder, pictures(1))
    with pytest.raises(ValueError, match=r'differs from torch in embeddings by [\d.e-]+, expected at most 1e-05'):
        check_embeddings(file, changed(embedder, 'backbone.output_layer.3.bias'), pictures(1))


def test_the_check_fails_where_another_suppression_is_inside(detector):
    _, file, with_nms = detector
    plain = OnnxFaceDetector(file, min_score=0)
    check_suppression(with_nms, plain, pictures(2))
    plain.settings['iou_threshold'] = 0.6
    with pytest.raises(ValueError, match=r'NMS, which leaves \d+ of \d+ faces'):
        check_suppression(with_nms, plain, pictures(2))


def test_a_file_that_differs_is_not_left(detector, embedder, tmp_path, monkeypatch):
    def write_another(network, *args):
        weight = dict(network.named_parameters())
        name = next(name for name in weight if name.endswith(('retina_cls.bias', 'output_layer.3.bias')))
        with torch.no_grad():
            weight[name] += 0.1
        write(network, *args)

    write = exporting.write_onnx
    monkeypatch.setattr(exporting, 'write_onnx', write_another)
    (tmp_path / 'old.onnx').write_text('old')
    for name in ('new.onnx', 'old.onnx'):
        with pytest.raises(ValueError, match='nothing was written'):
            export_detector(detector[0], tmp_path / name, pictures=pictures(1))
        with pytest.raises(ValueError, match='nothing was written'):
            export_embedder(embedder[0], tmp_path / name, pictures(1))
    assert [path.name for path in tmp_path.iterdir()] == ['old.onnx']
    assert (tmp_path / 'old.onnx').read_text() == 'old'


def test_networks_and_pipelines_that_a_file_cannot_hold_are_refused(detector, embedder, tmp_path):
    detector, *_ = detector
    other = copy.copy(detector)
    other.model = nn.Linear(1, 1)
    with pytest.raises(ValueError, match='found a Linear, expected a detector with an IoUAwareRetinaHead'):
        export_detector(other, tmp_path / 'a.onnx')
    other = copy.copy(detector)
    other.pipeline = copy.deepcopy(detector.pipeline)
    resize = next(step for step in exporting.walk(other.pipeline.transforms) if type(step).__name__ == 'Resize')
    resize.keep_ratio = False
    with pytest.raises(ValueError, match='found another pipeline than one with Resize'):
        export_detector(other, tmp_path / 'a.onnx')
    other = copy.copy(embedder[0])
    other.pipeline = copy.deepcopy(other.pipeline)
    other.pipeline.transforms.insert(1, lambda results: {**results, 'img': 255 - results['img']})
    with pytest.raises(ValueError, match="the config's test pipeline makes other pictures"):
        export_embedder(other, tmp_path / 'a.onnx')
    assert not list(tmp_path.iterdir())


def test_detections_are_compared_as_sets():
    boxes, scores = np.float32([[0, 0, 5, 5], [9, 9, 12, 12]]), np.float32([0.9, 0.8])
    found = Detections(boxes, scores)
    assert unmatched(found, Detections(boxes[::-1] + 0.09, scores[::-1])) == 0
    assert (
        unmatched(found, Detections(boxes[:1], scores[:1])) == unmatched(Detections(boxes[:1], scores[:1]), found) == 1
    )
    assert unmatched(found, Detections(boxes + [0, 0, 0, 0.2], scores)) == 4
    assert unmatched(found, Detections(boxes, scores - 0.002)) == 4
    assert unmatched(found, Detections(boxes[:0], scores[:0])) == 2
    assert unmatched(found, Detections(boxes[:0], scores[:0]), 0.85) == 1
    assert unmatched(Detections(boxes[:0], scores[:0]), Detections(boxes[:0], scores[:0])) == 0


def test_the_networks_in_torch_are_those_of_the_config(detector, embedder):
    """What is exported, in torch, against the way that test goes."""
    detector, embedder = detector[0], embedder[0]
    image = pictures(1)[0][:112, :112]
    with torch.no_grad():
        network = EmbedderNetwork(embedder.model)
        np.testing.assert_allclose(network(torch.from_numpy(image)[None])[0], embedder.embed([image])[0], atol=1e-6)
        scale = torch.tensor([160 / 112] * 2)
        large = torch.from_numpy(OnnxFaceDetector.prepare(Prepared, image))
        boxes, scores = DetectorNetwork(detector.model, suppressing=True)(large[None], scale)
    found = detector.detect([image])[0]
    assert unmatched(found, Detections(boxes.numpy().clip(0, 112), scores.numpy())) == 0


class Prepared:
    settings = dict(scale=(160, 160))


def test_both_variants_are_what_they_say():
    norms = {variant: detector_config(variant).model.backbone.norm_cfg.type for variant in VARIANTS}
    assert norms == {'bn': 'BN', 'gn-dcn': 'GN'}
