"""TinaFace's head: RetinaNet with a prediction of the box's IoU (Zhu et al., 2020)."""

import logging

import torch
from mmdet.models import RetinaHead
from mmdet.registry import MODELS
from mmdet.structures.bbox import bbox_overlaps, get_box_tensor, get_box_wh
from mmdet.utils import InstanceList, reduce_mean
from mmengine.logging import print_log
from mmengine.structures import InstanceData
from torch import Tensor, nn
from torch.nn.functional import logsigmoid
from torchvision.ops import nms

from askd_mmdet.training.settings import check_number

# Of 450,000 anchors in a picture of 1650x1100. A GPU's NMS takes 1.25 GB for them, a bit for each pair.
MAX_CANDIDATES = 100_000


@MODELS.register_module()
class IoUAwareRetinaHead(RetinaHead):
    """RetinaHead that also predicts, for each anchor, the IoU of its decoded box with the face.

    The final score is sigmoid(cls)^(2 alpha) * sigmoid(iou)^(2 (1 - alpha)).

    Args:
        loss_iou: Loss between the predicted logit and the decoded box's IoU, on positive anchors.
        **kwargs: RetinaHead's, with one class. `test_cfg` also takes `score_alpha` (alpha above, the share of the
            classification in [0, 1]; TinaFace: 0.4), `min_box_side` (pixels of the network's image, on
            sqrt(width * height)) and `min_face_height` (pixels of the original image): smaller boxes go before NMS,
            which gets `max_candidates` of the others at most, by default 100,000, the best.

    Raises:
        ValueError: When there are more classes, or one of these settings is missing, of another type or out of range.
    """

    def __init__(
        self,
        *args,
        loss_iou=dict(type='CrossEntropyLoss', use_sigmoid=True, loss_weight=1.0),
        **kwargs,
    ):
        super().__init__(*args, **kwargs)
        check_number('IoUAwareRetinaHead', 'num_classes', self.num_classes, whole=True, at_least=1, at_most=1)
        if self.test_cfg is not None:
            for name in ('score_alpha', 'min_box_side', 'min_face_height'):
                limits = dict(at_most=1) if name == 'score_alpha' else {}
                check_number('IoUAwareRetinaHead', f'test_cfg.{name}', self.test_cfg.get(name), at_least=0, **limits)
            most = self.test_cfg.get('max_candidates', MAX_CANDIDATES)
            check_number('IoUAwareRetinaHead', 'test_cfg.max_candidates', most, whole=True, at_least=1)
        self.loss_iou = MODELS.build(loss_iou)
        self._hinted = False

    def _init_layers(self) -> None:
        super()._init_layers()
        self.retina_iou = nn.Conv2d(self.feat_channels, self.num_base_priors, 3, padding=1)

    def init_weights(self) -> None:
        super().init_weights()
        for branch in (self.retina_reg, self.retina_iou):
            nn.init.zeros_(branch.weight)
            nn.init.zeros_(branch.bias)

    def forward_single(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Class logits (N, A*K, H, W), box deltas (N, A*4, H, W) and IoU logits (N, A, H, W) of one level."""
        cls_feat = reg_feat = x
        for cls_conv, reg_conv in zip(self.cls_convs, self.reg_convs):
            cls_feat, reg_feat = cls_conv(cls_feat), reg_conv(reg_feat)
        return self.retina_cls(cls_feat), self.retina_reg(reg_feat), self.retina_iou(reg_feat)

    def get_targets(self, *args, **kwargs) -> tuple:
        """RetinaHead's targets, with the number of positives averaged over the ranks: DDP averages gradients, so
        ranks that divide by numbers of their own would not add up to the joint batch."""
        *targets, avg_factor = super().get_targets(*args, **kwargs)
        avg_factor = reduce_mean(targets[0][0].new_full((), avg_factor, dtype=torch.float32))
        return *targets, avg_factor.clamp(min=1)

    def loss_by_feat(
        self,
        cls_scores: list[Tensor],
        bbox_preds: list[Tensor],
        iou_preds: list[Tensor],
        *args,
        **kwargs,
    ) -> dict[str, list[Tensor]]:
        """`loss_cls` and `loss_bbox` of every level, and `loss_iou` of all together, in float32 under autocast too."""
        cls_scores, bbox_preds, iou_preds = ([x.float() for x in p] for p in (cls_scores, bbox_preds, iou_preds))
        # The parent hands every level's box prediction to loss_by_feat_single as it is; the IoU travels with it.
        losses = super().loss_by_feat(cls_scores, list(zip(bbox_preds, iou_preds)), *args, **kwargs)
        loss_bbox, of_anchors, (avg_factor, *_) = zip(*losses['loss_bbox'])
        # All levels and anchors in one go, weighted: MMDetection waits for the GPU at each decoding and each overlap,
        # and to pick the positives out would wait as well.
        iou_pred, deltas, anchors, targets, positive = map(torch.cat, zip(*of_anchors))
        boxes = self.bbox_coder.decode(anchors, deltas.detach())
        iou = bbox_overlaps(boxes, targets, is_aligned=True)
        loss_iou = self.loss_iou(iou_pred, iou, positive, avg_factor=avg_factor)
        return dict(loss_cls=losses['loss_cls'], loss_bbox=list(loss_bbox), loss_iou=[loss_iou])

    def loss_by_feat_single(
        self,
        cls_score,
        box_and_iou,
        anchors,
        labels,
        label_weights,
        bbox_targets,
        bbox_weights,
        avg_factor,
    ):
        bbox_pred, iou_pred = box_and_iou
        loss_cls, loss_bbox = super().loss_by_feat_single(
            cls_score,
            bbox_pred,
            anchors,
            labels,
            label_weights,
            bbox_targets,
            bbox_weights,
            avg_factor,
        )
        of_anchors = (
            iou_pred.permute(0, 2, 3, 1).reshape(-1),
            bbox_pred.permute(0, 2, 3, 1).reshape(-1, 4),
            anchors.reshape(-1, 4),
            bbox_targets.reshape(-1, 4),
            (labels.reshape(-1) < self.num_classes).float(),
        )
        return loss_cls, (loss_bbox, of_anchors, avg_factor)

    def predict_by_feat(
        self,
        cls_scores: list[Tensor],
        bbox_preds: list[Tensor],
        iou_preds: list[Tensor],
        batch_img_metas: list[dict],
        **kwargs,
    ) -> InstanceList:
        """Fuse both scores, then RetinaHead's path: threshold, top-k, NMS. See BaseDenseHead.predict_by_feat."""
        # Stock `score_factors` would threshold before the fusion, so the fused score is handed on as a logit.
        logits = [
            fuse_scores(*cls_and_iou, self.test_cfg.score_alpha).logit(eps=1e-7)
            for cls_and_iou in zip(cls_scores, iou_preds)
        ]
        return super().predict_by_feat(
            logits, [pred.float() for pred in bbox_preds], batch_img_metas=batch_img_metas, **kwargs
        )

    def candidates(
        self,
        cls_scores: list[Tensor],
        bbox_preds: list[Tensor],
        iou_preds: list[Tensor],
        image_size: tuple[int, int],
    ) -> tuple[Tensor, Tensor]:
        """What thresholds and NMS choose from: every anchor's box and fused score.

        Unlike `predict_by_feat` it has no loop over pictures and no list of results, so that it can be exported.

        Args:
            cls_scores, bbox_preds, iou_preds: Of every level, see `forward_single`.
            image_size: Height and width in pixels, without the padding, to which boxes are clipped.

        Returns:
            Boxes (N, A, 4), x1, y1, x2, y2 in pixels of the network's image, and scores in [0, 1], (N, A), both level
            by level.
        """

        def flat(levels, numbers):
            return torch.cat([x.permute(0, 2, 3, 1).reshape(x.shape[0], -1, numbers) for x in levels], 1)

        scores = fuse_scores(flat(cls_scores, 1), flat(iou_preds, 1), self.test_cfg.score_alpha)[..., 0]
        deltas = flat([x.float() for x in bbox_preds], 4)
        sizes = [x.shape[-2:] for x in cls_scores]
        anchors = torch.cat(self.prior_generator.grid_priors(sizes, device=deltas.device)).repeat(deltas.shape[0], 1)
        boxes = self.bbox_coder.decode(anchors, deltas.reshape(-1, 4)).reshape(deltas.shape)
        height, width = map(torch.as_tensor, image_size)
        limits = torch.stack([width, height, width, height]).to(boxes)
        return boxes.clamp(min=0).minimum(limits), scores

    def _bbox_post_process(self, results, cfg, rescale=False, with_nms=True, img_meta=None) -> InstanceData:
        # Before NMS, or a box too small to stay would suppress a valid neighbour first.
        width, height = get_box_wh(results.bboxes)
        face_height = height / img_meta['scale_factor'][1]
        large = ((width * height).sqrt() >= cfg.min_box_side) & (face_height >= cfg.min_face_height)
        results = self._best(results[large], cfg)
        # On the CPU mmcv's NMS takes four times as long as torchvision's.
        ours = with_nms and results.scores.is_cpu and cfg.nms.type == 'nms'
        results = super()._bbox_post_process(results, cfg, rescale, with_nms and not ours, img_meta)
        if ours:
            kept = nms(get_box_tensor(results.bboxes), results.scores, cfg.nms.iou_threshold)
            results = results[kept[: cfg.max_per_img]]
        return results

    def _best(self, results, cfg):
        """No more than NMS can take: its time, and on a GPU its memory, grow with the square of what it is given.

        Worse boxes suppress no better ones, so what NMS keeps is the beginning of what it would have kept of all.
        """
        most = cfg.get('max_candidates', MAX_CANDIDATES)
        if len(results) <= most:
            return results
        if not self._hinted:
            self._hinted = True
            print_log(
                f'{len(results):,} boxes of a picture score above test_cfg.score_thr={cfg.score_thr}; NMS gets the '
                f'best {most:,} (test_cfg.max_candidates). The detector seems to be untrained, and each such picture '
                'takes long; for a trial run set test_cfg.nms_pre=1000 or a higher score_thr',
                'current',
                logging.WARNING,
            )
        return results[results.scores.topk(most).indices]


def fuse_scores(cls_logit: Tensor, iou_logit: Tensor, alpha: float) -> Tensor:
    """sigmoid(cls)^(2 alpha) * sigmoid(iou)^(2 (1 - alpha)), in float32.

    Args:
        cls_logit: Of one class, e.g. (N, A, H, W).
        iou_logit: Of the same shape.
        alpha: Share of the classification, in [0, 1].

    Returns:
        Scores in [0, 1], of the same shape.

    Example:
        >>> import torch
        >>> fuse_scores(torch.tensor(0.0), torch.tensor(0.0), 0.4).item()  # (1/2)^0.8 * (1/2)^1.2
        0.25
    """
    return (2 * alpha * logsigmoid(cls_logit.float()) + 2 * (1 - alpha) * logsigmoid(iou_logit.float())).exp()
