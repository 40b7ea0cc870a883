"""Detections against the Runner's own test loop, for our network and stock ones; pictures and settings that are bad."""

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.evaluator import BaseMetric
from mmengine.hub import get_config
from mmengine.registry import METRICS, RUNNERS
from mmengine.structures import InstanceData
from PIL import Image

from askd_mmdet.detection import FaceDetector
from askd_mmdet.training import build_model
from askd_mmdet.training.config import settle
from tests.own_model import small_faster_rcnn, small_retinanet
from tests.toy_run import BASE, HR, toy_config

FOUND = {}


@METRICS.register_module()
class KeepDetections(BaseMetric):
    """Keeps what a test finds, by the picture's file."""

    def process(self, data_batch, data_samples):
        for sample in data_samples:
            instances = sample['pred_instances']
            FOUND[sample['img_path']] = instances['bboxes'].numpy(), instances['scores'].numpy()
            self.results.append(0)

    def compute_metrics(self, results):
        return {}


def settled_weights(cfg, path, seed=0):
    """Random weights that tell one place from another, with the statistics of a network that was trained."""
    torch.manual_seed(seed)
    model = build_model(cfg)
    for name, value in model.named_parameters():
        if value.ndim > 1:
            torch.nn.init.xavier_normal_(value, 0.5 if name.startswith('bbox_head') else 1)
    for norm in model.modules():
        if isinstance(norm, torch.nn.modules.batchnorm._BatchNorm):
            norm.running_mean.normal_(0, 0.1)
            norm.running_var.uniform_(0.5, 2)
    torch.save(dict(state_dict=model.state_dict()), path)


def run_test(cfg, checkpoint):
    """The detections of `askd test`, by file."""
    cfg = Config(cfg.to_dict())
    cfg.test_evaluator, cfg.load_from = dict(type='KeepDetections'), str(checkpoint)
    cfg.test_dataloader.batch_size = 1
    FOUND.clear()
    RUNNERS.build(cfg).test()
    return dict(FOUND)


def stock(coco, name, small, tmp_path, **changes):
    """One of MMDetection's own configs, on the tiny COCO."""
    cfg = settle(get_config(f'mmdet::{name}'))
    cfg.merge_from_dict(small(coco))
    cfg.test_dataloader, cfg.test_evaluator = cfg.val_dataloader, cfg.val_evaluator
    cfg.runner_type = 'SafeRunner'
    cfg.work_dir, cfg.log_level = str(tmp_path), 'WARNING'
    cfg.merge_from_dict(changes)
    return cfg


def between(expected):
    """A number that half of the scores are above, and none is near."""
    scores = np.unique(np.concatenate([scores for _, scores in expected.values()]))
    middle = len(scores) // 4 + np.argmax(np.diff(scores[len(scores) // 4 : -(len(scores) // 4)]))
    return float(scores[middle : middle + 2].mean())


def expect_equal(detector, expected, min_score, at_least):
    total = 0
    for path, (boxes, scores) in expected.items():
        found = detector.detect([path])[0]
        kept = scores >= min_score
        total += kept.sum()
        assert found.boxes.dtype == found.scores.dtype == np.float32
        assert (np.diff(found.scores) <= 0).all()
        # Equal scores may come in another order.
        ours, theirs = (
            rows[np.lexsort(rows.T)]
            for rows in (np.column_stack([found.boxes, found.scores]), np.column_stack([boxes, scores])[kept])
        )
        np.testing.assert_allclose(ours, theirs, atol=1e-4)
    assert total >= at_least


@pytest.mark.parametrize('name, degrade', [(HR, False), (BASE, True)])
def test_a_config_of_ours_finds_what_its_test_finds(toy_data, tmp_path, name, degrade, unformatted_configs):
    cfg = toy_config(name, toy_data, tmp_path)
    settled_weights(cfg, tmp_path / 'a.pth')
    expected = run_test(cfg, tmp_path / 'a.pth')
    before = cfg.to_dict()
    for min_score in (0, between(expected)):
        detector = FaceDetector(cfg, tmp_path / 'a.pth', degrade=degrade, min_score=min_score)
        assert cfg.to_dict() == before and len(expected) == 4
        expect_equal(detector, expected, min_score, at_least=20)
    if degrade:  # as they are, the same pictures look otherwise
        path = next(iter(expected))
        plain = FaceDetector(cfg, tmp_path / 'a.pth', min_score=min_score).detect([path])[0]
        hr = FaceDetector(toy_config(HR, toy_data, tmp_path), tmp_path / 'a.pth', min_score=min_score)
        assert np.array_equal(plain.boxes, hr.detect([path])[0].boxes)
        assert not np.array_equal(plain.boxes, detector.detect([path])[0].boxes)


@pytest.mark.parametrize(
    'name, small',
    [
        ('retinanet/retinanet_r18_fpn_1x_coco.py', small_retinanet),
        ('faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py', small_faster_rcnn),
    ],
)
def test_stock_detectors_find_what_their_test_finds(coco, tmp_path, name, small, unformatted_configs):
    small_ = {key: value for key, value in small(coco).items() if 'plugins' not in key}
    cfg = stock(coco, name, lambda _: small_, tmp_path)
    settled_weights(cfg, tmp_path / 'a.pth')
    expected = run_test(cfg, tmp_path / 'a.pth')
    least = between(expected)
    expect_equal(FaceDetector(cfg, tmp_path / 'a.pth', min_score=least), expected, least, at_least=10)
    wrapped = Config(cfg.to_dict())
    wrapped.test_dataloader.dataset = dict(type='ConcatDataset', datasets=[cfg.test_dataloader.dataset])
    expect_equal(FaceDetector(wrapped, tmp_path / 'a.pth', min_score=least), expected, least, at_least=10)


def test_the_hook_that_degrades_is_heeded_on_request(coco, tmp_path, unformatted_configs):
    small = small_retinanet(coco)
    name = 'retinanet/retinanet_r18_fpn_1x_coco.py'
    hook = [dict(type='LowResolutionHook', ratio=[2, 4], test_ratio=4)]
    cfg = stock(coco, name, lambda _: small, tmp_path, custom_hooks=hook)
    settled_weights(cfg, tmp_path / 'a.pth')
    expected = run_test(cfg, tmp_path / 'a.pth')
    expect_equal(FaceDetector(cfg, tmp_path / 'a.pth', degrade=True, min_score=0), expected, 0, at_least=10)
    cfg.custom_hooks = []
    expected = run_test(cfg, tmp_path / 'a.pth')
    cfg.custom_hooks = hook
    expect_equal(FaceDetector(cfg, tmp_path / 'a.pth', min_score=0), expected, 0, at_least=10)


@pytest.fixture(scope='module')
def toy(toy_data, tmp_path_factory):
    folder = tmp_path_factory.mktemp('toy_network')
    cfg = toy_config(HR, toy_data, folder)
    settled_weights(cfg, folder / 'a.pth')
    return cfg, folder / 'a.pth'


@pytest.fixture(scope='module')
def detector(toy):
    return FaceDetector(*toy, min_score=0.1)


@pytest.fixture(scope='module')
def pictures(toy_data):
    return [cv2.imread(str(path)) for path in sorted(toy_data.glob('WIDER_val/images/*/*.jpg'))]


def test_boxes_are_in_pixels_of_the_original(detector, pictures):
    """A picture of twice the size is brought to the same network input, so boxes double."""
    small = pictures[0]
    large = cv2.resize(small, None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST)
    found = detector.detect([large])[0]
    assert len(found.boxes) and found.boxes.max() > 96 and found.boxes.min() >= 0 and found.boxes.max() <= 192


def test_batches_and_files_give_the_same(detector, pictures, tmp_path):
    alone = detector.detect(pictures)
    paths = [tmp_path / f'ä {i}.png' for i in range(len(pictures))]
    for path, picture in zip(paths, pictures):
        Image.fromarray(picture[..., ::-1]).save(path)
    for images, size in ((pictures, 3), (iter(paths), 2), (list(map(str, paths)), 1)):
        for one, other in zip(alone, detector.detect(images, batch_size=size), strict=True):
            np.testing.assert_allclose(one.boxes, other.boxes, atol=1e-3)
            np.testing.assert_allclose(one.scores, other.scores, atol=1e-5)
    assert sum(len(one.boxes) for one in alone) > 10
    assert detector.detect([]) == []


def test_a_threshold_of_the_users_only_drops_low_scores(toy, pictures):
    every = FaceDetector(*toy, min_score=0).detect(pictures[:1])[0]
    least = between({0: every})
    some = FaceDetector(*toy, min_score=least).detect(pictures[:1])[0]
    kept = every.scores >= least
    assert 0 < kept.sum() < len(kept)
    assert np.array_equal(some.boxes, every.boxes[kept]) and np.array_equal(some.scores, every.scores[kept])


def test_pictures_that_cannot_be_read(detector, pictures, tmp_path):
    good, cut, gone = (tmp_path / name for name in ('good.jpg', 'cut.jpg', 'gone.jpg'))
    cv2.imwrite(str(good), pictures[0])
    cut.write_bytes(good.read_bytes()[:-500])
    with pytest.raises(ValueError, match=r'cannot read 2 of 3 pictures: .*cut.jpg, .*gone.jpg; check'):
        detector.detect([cut, good, gone])
    found, unreadable = detector.detect_readable([cut, good, gone, good], batch_size=2)
    assert unreadable == [0, 2] and len(found) == 2
    np.testing.assert_allclose(found[0].boxes, found[1].boxes, atol=1e-3)
    assert detector.detect_readable([cut, gone]) == ([], [0, 1])
    for image in (np.zeros((9, 9), np.uint8), np.zeros((9, 9, 3)), np.zeros((0, 9, 3), np.uint8)):
        with pytest.raises(ValueError, match='expected BGR, uint8'):
            detector.detect([image])


@pytest.mark.parametrize('shape', [(1, 1), (1, 20000), (20000, 1), (3, 20000), (96, 1)])
def test_pictures_of_strange_shapes(detector, shape):
    found = detector.detect([np.full((*shape, 3), 90, np.uint8)])[0]
    assert found.boxes.shape == (len(found.scores), 4)
    assert (found.boxes[:, 2:] <= np.add(shape[::-1], 1e-3)).all()


@pytest.mark.parametrize(
    'change, message',
    [
        (dict(model=None), 'expected a model and'),
        (dict(test_dataloader=None), 'test_dataloader'),
        (dict(model=dict(type='mmdet.ResNet', depth=18)), 'found a ResNet, expected a detector'),
    ],
)
def test_configs_of_something_else_are_refused(toy, change, message):
    cfg, checkpoint = toy
    settings = cfg.to_dict() | change
    with pytest.raises(ValueError, match=message):
        FaceDetector(Config(settings), checkpoint)


def test_a_network_of_several_classes_is_asked_which_are_faces(coco, tmp_path):
    cfg = stock(coco, 'retinanet/retinanet_r18_fpn_1x_coco.py', small_retinanet, tmp_path)
    cfg.model.bbox_head.num_classes = 3
    settled_weights(cfg, tmp_path / 'a.pth')
    for classes in (None, [3]):
        with pytest.raises(ValueError, match='knows 3 classes'):
            FaceDetector(cfg, tmp_path / 'a.pth', classes=classes)
    picture = cv2.imread(str(coco / '0.png'))
    sets = [
        FaceDetector(cfg, tmp_path / 'a.pth', min_score=0, classes=classes).detect([picture])[0]
        for classes in ([0], [1, 2], [0, 1, 2])
    ]
    assert len(sets[0].scores) and len(sets[1].scores)
    assert sorted([*sets[0].scores, *sets[1].scores]) == sorted(sets[2].scores)


def test_bad_settings_are_named(toy, tmp_path):
    cfg, checkpoint = toy
    for settings, message in (
        (dict(min_score=1.5), 'min_score=1.5'),
        (dict(degrade='yes'), "degrade='yes'"),
        (dict(device='abacus'), "device 'abacus'"),
        (dict(classes=[]), 'classes'),
    ):
        with pytest.raises(ValueError, match=message):
            FaceDetector(cfg, checkpoint, **settings)
    with pytest.raises(FileNotFoundError, match='no checkpoint at'):
        FaceDetector(cfg, tmp_path / 'gone.pth')
    with pytest.raises(FileNotFoundError, match='no config at'):
        FaceDetector('gone.py', checkpoint)
    broken = torch.load(checkpoint)
    del broken['state_dict']['bbox_head.retina_cls.bias']
    torch.save(broken, tmp_path / 'half.pth')
    with pytest.raises(ValueError, match=r'missing in the file: bbox_head\.retina_cls\.bias'):
        FaceDetector(cfg, tmp_path / 'half.pth')


def test_detections_that_are_not_finite_are_refused(toy, pictures):
    detector = FaceDetector(*toy, min_score=0)

    def broken(data):
        for sample in data['data_samples']:
            sample.pred_instances = InstanceData(
                bboxes=torch.tensor([[0, 0, torch.inf, 1]]), scores=torch.ones(1), labels=torch.zeros(1)
            )
        return data['data_samples']

    detector.model.test_step = broken
    with pytest.raises(ValueError, match='not finite'):
        detector.detect(pictures[:1])
