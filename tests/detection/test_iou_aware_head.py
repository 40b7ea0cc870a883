"""The IoU-aware head: losses and scores against their definitions, worked out anchor by anchor."""

import numpy as np
import pytest
import torch
from mmcv.ops import batched_nms
from mmdet.registry import MODELS
from mmengine.config import Config, ConfigDict
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData
from scipy.special import expit

from askd_mmdet.detection import iou_aware_head
from askd_mmdet.detection.iou_aware_head import fuse_scores

STRIDES = [8, 16]
SIZE = 64


@pytest.fixture
def head(root):
    """The real head on two small levels."""
    cfg = Config.fromfile(root / 'configs/detection/tinaface_r50-bn-cbam_widerface.py')
    cfg.model.bbox_head.update(in_channels=8, feat_channels=8, stacked_convs=1, norm_cfg=None)
    cfg.model.bbox_head.anchor_generator.strides = STRIDES
    cfg.model.bbox_head.update(train_cfg=cfg.model.train_cfg, test_cfg=cfg.model.test_cfg)
    with DefaultScope.overwrite_default_scope('mmdet'):
        head = MODELS.build(cfg.model.bbox_head)
        head.init_weights()
    torch.manual_seed(0)
    return head


def outputs(seed=0):
    generator = torch.Generator().manual_seed(seed)
    shapes = [(1, channels, SIZE // stride, SIZE // stride) for channels in (3, 12, 3) for stride in STRIDES]
    maps = [torch.randn(shape, generator=generator) * 0.5 for shape in shapes]
    return maps[:2], maps[2:4], maps[4:]


def flat(maps, size):
    """Predictions of all anchors, (number of anchors, size), in the order of the anchors."""
    return torch.cat([m[0].permute(1, 2, 0).reshape(-1, size) for m in maps]).double().numpy()


def anchors():
    """TinaFace's anchors, worked out: three scales of 2^(4/3 + i/3) strides, height 1.3 times the width."""
    boxes = []
    for stride in STRIDES:
        for y in range(SIZE // stride):
            for x in range(SIZE // stride):
                for i in range(3):
                    side = stride * 2 ** ((4 + i) / 3)
                    w, h = side / np.sqrt(1.3), side * np.sqrt(1.3)
                    cx, cy = x * stride, y * stride
                    boxes.append([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2])
    return np.array(boxes)


def decode(boxes, deltas):
    """Faster R-CNN's box coding with TinaFace's standard deviations."""
    dx, dy, dw, dh = (deltas * [0.1, 0.1, 0.2, 0.2]).T
    w, h = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    cx, cy = boxes[:, 0] + w / 2 + dx * w, boxes[:, 1] + h / 2 + dy * h
    w, h = w * np.exp(dw), h * np.exp(dh)
    return np.stack([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2], 1)


def iou(a, b):
    left_top, right_bottom = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = (right_bottom - left_top).clip(0).prod(-1)
    area_a, area_b = ((x[:, 2:] - x[:, :2]).prod(-1) for x in (a, b))
    return shared / (area_a[:, None] + area_b[None] - shared)


def diou(a, b):
    """DIoU of aligned boxes: IoU less the squared distance of the centres over the enclosing box's squared diagonal."""
    distance = (((a[:, :2] + a[:, 2:]) - (b[:, :2] + b[:, 2:])) ** 2).sum(1) / 4
    corners = np.maximum(a[:, 2:], b[:, 2:]) - np.minimum(a[:, :2], b[:, :2])
    return iou(a, b).diagonal() - distance / (corners**2).sum(1)


def softplus(x):
    return np.logaddexp(0, x)


META = dict(img_shape=(SIZE, SIZE), ori_shape=(SIZE, SIZE), pad_shape=(SIZE, SIZE), scale_factor=(1.0, 1.0))
FACES = np.array([[10.0, 12, 26, 34], [30, 20, 58, 60]])


def truth(faces):
    return InstanceData(
        bboxes=torch.tensor(faces, dtype=torch.float32).reshape(-1, 4), labels=torch.zeros(len(faces), dtype=torch.long)
    )


def test_losses_are_tinaface_s(head):
    cls, box, iou_pred = outputs()
    losses = head.loss_by_feat(cls, box, iou_pred, [truth(FACES)], [META])

    # Assignment: best IoU >= 0.35, and the best anchors of every face.
    overlaps = iou(anchors(), FACES)
    assigned = np.where(overlaps.max(1) >= 0.35, overlaps.argmax(1), -1)
    for face in range(2):
        if overlaps[:, face].max() >= 0.35:
            assigned[np.isclose(overlaps[:, face], overlaps[:, face].max(), atol=1e-6)] = face
    positive = assigned >= 0
    count = positive.sum()
    assert count >= 4

    logit = flat(cls, 1)[:, 0]
    p = expit(logit)
    focal = np.where(positive, 0.25 * (1 - p) ** 2 * softplus(-logit), 0.75 * p**2 * softplus(logit))
    assert sum(losses['loss_cls']).item() == pytest.approx(focal.sum() / count, rel=1e-4)

    boxes = decode(anchors(), flat(box, 4))[positive]
    targets = FACES[assigned[positive]]
    assert sum(losses['loss_bbox']).item() == pytest.approx(2 * (1 - diou(boxes, targets)).sum() / count, rel=1e-4)

    logit, target = flat(iou_pred, 1)[positive, 0], iou(boxes, targets).diagonal()
    cross_entropy = target * softplus(-logit) + (1 - target) * softplus(logit)
    assert sum(losses['loss_iou']).item() == pytest.approx(cross_entropy.sum() / count, rel=1e-4)


def test_the_iou_target_is_detached(head):
    cls, box, iou_pred = (tuple(m.requires_grad_() for m in maps) for maps in outputs())
    losses = head.loss_by_feat(cls, box, iou_pred, [truth(FACES)], [META])
    gradients = torch.autograd.grad(sum(losses['loss_iou']), [*box, *iou_pred], allow_unused=True)
    assert all(g is None or not g.any() for g in gradients[:2])
    assert any(g.any() for g in gradients[2:])


def test_an_image_without_faces_has_finite_losses_and_keeps_every_branch_in_the_graph(head):
    features = [torch.randn(1, 8, SIZE // stride, SIZE // stride) for stride in STRIDES]
    losses = head.loss_by_feat(*head(features), [truth(np.zeros((0, 4)))], [META])
    total = sum(sum(values) for values in losses.values())
    total.backward()
    assert total.isfinite() and sum(losses['loss_bbox']) == 0 and sum(losses['loss_iou']) == 0
    assert all(parameter.grad is not None for parameter in head.parameters())


def test_the_iou_branch_starts_at_zero(head):
    features = [torch.randn(1, 8, 8, 8), torch.randn(1, 8, 4, 4)]
    assert all(not level.any() for level in head(features)[2])


def test_fused_score_is_the_weighted_geometric_mean():
    cls, iou_logit = torch.randn(2, 3, 4, 4) * 3, torch.randn(2, 3, 4, 4) * 3
    expected = expit(cls.numpy()) ** 0.8 * expit(iou_logit.numpy()) ** 1.2
    np.testing.assert_allclose(fuse_scores(cls, iou_logit, 0.4).numpy(), expected, rtol=1e-5)
    assert fuse_scores(cls.half(), iou_logit.half(), 0.4).dtype == torch.float32


def greedy_nms(boxes, scores, threshold):
    kept = []
    for i in np.argsort(-scores):
        if all(iou(boxes[[i]], boxes[[j]])[0, 0] <= threshold for j in kept):
            kept.append(i)
    return kept


@pytest.mark.parametrize('rescale', [False, True])
def test_predictions_are_thresholded_after_fusion_filtered_by_size_and_suppressed(head, rescale):
    """The picture is twice as wide and four times as high in the network as in the original."""
    cls, box, iou_pred = outputs()
    cls = [level - 4.5 for level in cls]
    meta = dict(META, ori_shape=(SIZE // 4, SIZE // 2), scale_factor=(2.0, 4.0))
    head.test_cfg = ConfigDict(head.test_cfg, min_face_height=5)
    (result,) = head.predict_by_feat(cls, box, iou_pred, batch_img_metas=[meta], rescale=rescale)

    scores = expit(flat(cls, 1)[:, 0]) ** 0.8 * expit(flat(iou_pred, 1)[:, 0]) ** 1.2
    boxes = decode(anchors(), flat(box, 4)).clip(0, SIZE)
    width, height = (boxes[:, 2:] - boxes[:, :2]).clip(0).T
    large = (np.sqrt(width * height) >= 1) & (height / 4 >= 5)
    chosen = np.flatnonzero((scores > 0.01) & large)
    assert 0 < len(chosen) < (scores > 0.01).sum() < len(scores)
    kept = chosen[greedy_nms(boxes[chosen], scores[chosen], 0.45)]
    assert len(result) == len(kept) > 3
    np.testing.assert_allclose(result.scores.numpy(), scores[kept], rtol=1e-4)
    np.testing.assert_allclose(result.bboxes.numpy(), boxes[kept] / ([2, 4, 2, 4] if rescale else 1), atol=1e-3)


@pytest.mark.parametrize('kind', ['nms', 'soft_nms'])
def test_suppression_on_the_cpu_is_that_of_mmcv(head, kind):
    generator = torch.Generator().manual_seed(0)
    corners = torch.rand(3000, 2, generator=generator) * 300
    boxes = torch.cat([corners, corners + 20 + 30 * torch.rand(3000, 2, generator=generator)], 1)
    scores = torch.rand(3000, generator=generator)
    cfg = ConfigDict(head.test_cfg, nms=dict(type=kind, iou_threshold=0.45), max_per_img=60)
    results = InstanceData(bboxes=boxes, scores=scores, labels=torch.zeros(3000, dtype=torch.long))
    found = head._bbox_post_process(results, cfg, img_meta=dict(scale_factor=(1, 1)))
    expected, _ = batched_nms(boxes, scores, torch.zeros(3000), cfg.nms)
    assert len(expected) > 60
    torch.testing.assert_close(torch.cat([found.bboxes, found.scores[:, None]], 1), expected[:60])


def test_nms_gets_no_more_than_the_bound_and_keeps_the_beginning_of_what_it_would_of_all(head, monkeypatch):
    cls, box, iou_pred = outputs()
    head.test_cfg = ConfigDict(head.test_cfg, min_face_height=0)
    given, messages = [], []
    monkeypatch.setattr(iou_aware_head, 'print_log', lambda message, *args: messages.append(message))
    suppress = iou_aware_head.nms
    monkeypatch.setattr(iou_aware_head, 'nms', lambda boxes, *args: given.append(len(boxes)) or suppress(boxes, *args))
    (everything,) = head.predict_by_feat(cls, box, iou_pred, batch_img_metas=[META])
    (total,) = given
    assert total > 200 and not messages
    head.test_cfg.max_candidates = 50
    for _ in range(2):
        (bounded,) = head.predict_by_feat(cls, box, iou_pred, batch_img_metas=[META])
    assert given[1:] == [50, 50] and 10 < len(bounded) < len(everything)
    assert torch.equal(bounded.bboxes, everything.bboxes[: len(bounded)])
    assert torch.equal(bounded.scores, everything.scores[: len(bounded)])
    (hint,) = messages
    for part in (f'{total} boxes', 'score_thr=0.01', 'the best 50', 'untrained', 'nms_pre'):
        assert part in hint


def test_suppression_of_equal_scores_is_that_of_mmcv(head):
    """Far apart or on top of each other, so that it does not matter which of two equal boxes comes first."""
    places = torch.arange(40).repeat_interleave(3)[:, None] * 100.0
    boxes = torch.cat([places, places, places + 50, places + 50], 1)
    scores = (places[:, 0] / 800).floor() / 10 + 0.3
    results = InstanceData(bboxes=boxes, scores=scores, labels=torch.zeros(120, dtype=torch.long))
    found = head._bbox_post_process(results, head.test_cfg, img_meta=dict(scale_factor=(1, 1)))
    expected, _ = batched_nms(boxes, scores, torch.zeros(120), head.test_cfg.nms)
    rows = sorted(torch.cat([found.bboxes, found.scores[:, None]], 1).tolist())
    assert len(rows) == 40 and rows == sorted(expected.tolist())


@pytest.mark.parametrize('rescale', [False, True])
@pytest.mark.parametrize(
    'setting, small',
    [('min_face_height', [0, 0, 20, 17.8]), ('min_box_side', [0, 0, 18, 17.8])],
    ids=['height', 'side'],
)
def test_a_box_too_small_to_stay_suppresses_no_other(head, setting, small, rescale):
    """Two boxes at IoU 0.9, of which the better one is lower than 9 px in the original, or smaller than 19 px here."""
    setting = {setting: dict(min_face_height=9, min_box_side=19)[setting]}
    head.test_cfg = ConfigDict(head.test_cfg, **dict(dict(min_face_height=0, min_box_side=0), **setting))
    valid = [0, 0, 20, 19.8]
    results = InstanceData(
        bboxes=torch.tensor([small, valid]), scores=torch.tensor([0.9, 0.5]), labels=torch.zeros(2, dtype=torch.long)
    )
    meta = dict(META, scale_factor=(0.5, 2.0))
    result = head._bbox_post_process(results, head.test_cfg, rescale=rescale, img_meta=meta)
    assert result.scores.tolist() == [0.5]
    torch.testing.assert_close(result.bboxes[0], torch.tensor([0, 0, 40, 9.9] if rescale else valid))


def test_nothing_above_the_threshold_gives_no_box(head):
    cls, box, iou_pred = outputs()
    (result,) = head.predict_by_feat([level - 100 for level in cls], box, iou_pred, batch_img_metas=[META])
    assert len(result) == 0 and result.bboxes.shape == (0, 4)
