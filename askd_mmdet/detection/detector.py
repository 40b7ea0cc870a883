"""A trained detector in use: pictures to the boxes of their faces, in pixels of the pictures as they are."""

import copy
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from mmdet.models import BaseDetector
from mmengine.config import Config
from mmengine.registry import DefaultScope

from askd_mmdet.degradation.pipelines import build_pipeline, pipeline_of
from askd_mmdet.training import build_model, load_weights
from askd_mmdet.training.config import load_config, type_name
from askd_mmdet.training.inference import Picture, cannot_read, run_readable, set_up
from askd_mmdet.training.model import fingerprint
from askd_mmdet.training.settings import check_number, check_numbers, check_type

# The longer side of a picture over the shorter one, beyond which scaling to the network's input may leave no pixel.
_LONGEST = 100


class Detections(NamedTuple):
    """The faces found in a picture, best first.

    Attributes:
        boxes: float32 (N, 4), x1, y1, x2, y2 in pixels of the picture.
        scores: float32 (N,), in [0, 1].
    """

    boxes: np.ndarray
    scores: np.ndarray


class FaceDetector:
    """Finds faces in pictures, as the test of the network's own config would.

    Args:
        config: Of the experiment: `askd_mmdet::...`, a file, or a Config, of any detector of MMDetection; its
            `test_dataloader.dataset.pipeline` prepares the pictures.
        checkpoint: The weights, which must fit the model.
        device: A device of torch; by default a GPU where there is one.
        degrade: Whether to degrade pictures as the config's test does, by its `LowResolution` or `LowResolutionHook`.
            By default they are searched as they are: real LR pictures need no degradation.
        min_score: Detections of lower scores are left out, in [0, 1]; those below the config's own threshold always.
        classes: The labels that mean a face; needed where the network knows several.

    Attributes:
        fingerprint: Equal for two detectors if and only if their networks have the same weights.

    Raises:
        FileNotFoundError: When config or checkpoint is missing.
        ValueError: When the config is not one of a detector, the checkpoint is damaged or does not fit, see
            :func:`load_weights`, torch has no such device, or it is not said which of several classes mean a face.
    """

    def __init__(
        self,
        config: str | Path | Config,
        checkpoint: str | Path,
        device: str | None = None,
        degrade: bool = False,
        min_score: float = 0.3,
        classes: Sequence[int] | None = None,
    ):
        check_type('FaceDetector', 'config', config, str, Path, Config)
        check_type('FaceDetector', 'checkpoint', checkpoint, str, Path)
        check_type('FaceDetector', 'degrade', degrade, bool)
        check_number('FaceDetector', 'min_score', min_score, at_least=0, at_most=1)
        if classes is not None:
            check_numbers('FaceDetector', 'classes', classes, whole=True, at_least=0)
        cfg = copy.deepcopy(config) if isinstance(config, Config) else load_config(config)
        name = cfg.filename or 'the config'
        if not cfg.get('model') or not cfg.get('test_dataloader'):
            raise ValueError(f'{name}: expected a model and a test_dataloader; take one of askd_mmdet::detection/')
        with DefaultScope.overwrite_default_scope('mmdet'):
            _raise_thresholds(cfg.model.get('test_cfg'), min_score)
            self.model = build_model(cfg)
            if not isinstance(self.model, BaseDetector):
                raise ValueError(f'{name}: found a {type(self.model).__name__}, expected a detector of MMDetection')
            self.pipeline = _build_pipeline(cfg, degrade)
        known = max(getattr(module, 'num_classes', 1) for module in self.model.modules())
        if (classes is None and known > 1) or max(classes or [0]) >= known:
            raise ValueError(f'{name}: the network knows {known} classes, found classes={classes}; name those of faces')
        load_weights(self.model, checkpoint)
        set_up(self.model, device)
        self.min_score = min_score
        self.classes = [0] if classes is None else list(classes)
        self.fingerprint = fingerprint(self.model)

    def detect(self, images: Iterable[Picture], batch_size: int = 1) -> list[Detections]:
        """Find the faces in pictures.

        Args:
            images: Paths, or BGR arrays uint8 (H, W, 3).
            batch_size: Pictures that pass the network together, padded to the largest of them, which can change boxes
                a little where they differ in size.

        Returns:
            The faces of each picture.

        Raises:
            ValueError: Names the pictures that cannot be read; for an array of another type or shape, or detections
                that are not finite.
        """
        images = list(images)
        found, unreadable = self.detect_readable(images, batch_size)
        if unreadable:
            raise cannot_read([images[i] for i in unreadable], len(images))
        return found

    def detect_readable(self, images: Iterable[Picture], batch_size: int = 1) -> tuple[list[Detections], list[int]]:
        """:meth:`detect`, but for the pictures that cannot be read, whose numbers are returned beside the faces.

        Raises:
            ValueError: For an array of another type or shape, or detections that are not finite.
        """
        check_number('FaceDetector', 'batch_size', batch_size, whole=True, at_least=1)
        found, unreadable = run_readable(self.model, self.pipeline, images, batch_size, self._take)
        return found, list(unreadable)

    def _take(self, samples) -> list[Detections]:
        return [self._detections(sample) for sample in samples]

    def _detections(self, sample) -> Detections:
        found = sample.pred_instances.cpu().numpy()
        boxes, scores = np.float32(found.bboxes), np.float32(found.scores)
        if not (np.isfinite(boxes).all() and np.isfinite(scores).all()):
            raise ValueError('found detections that are not finite: the checkpoint is broken; take an earlier one')
        height, width = sample.ori_shape
        boxes = boxes.clip(0, np.float32([width, height, width, height]))
        order = np.argsort(-scores, kind='stable')
        order = order[(scores[order] >= self.min_score) & np.isin(found.labels[order], self.classes)]
        return Detections(boxes[order], scores[order])


def _raise_thresholds(settings, least):
    """Have a network drop what nobody wants before its NMS, which only boxes of higher scores could suppress."""
    if isinstance(settings, dict):
        for name, value in settings.items():
            if name == 'score_thr' and isinstance(value, (int, float)):
                settings[name] = max(value, least)
            else:
                _raise_thresholds(value, least)


def _build_pipeline(cfg, degrade):
    """The config's transforms from a picture, be it a file or an array, to what the network takes."""
    loads, steps = [], _without_annotations(pipeline_of(cfg.test_dataloader.dataset))
    while _loads_pictures(steps[0]):
        loads.append(steps.pop(0))
    to_float32 = any(step.get('to_float32', False) for step in loads)
    return build_pipeline(cfg, [dict(type='LoadPicture', to_float32=to_float32), _widen_strip, *steps], degrade)


def _widen_strip(results):
    """Let a picture that is all but a line pass the scaling; what is found beside it is cut off later."""
    height, width = results['ori_shape']
    least = max(height, width) // _LONGEST
    bottom, right = max(least - height, 0), max(least - width, 0)
    if bottom or right:
        results['img'] = cv2.copyMakeBorder(results['img'], 0, bottom, 0, right, cv2.BORDER_REPLICATE)
        results['img_shape'] = results['img'].shape[:2]
    return results


def _loads_pictures(step):
    return re.fullmatch('Load.*(Image|Picture).*', type_name(step)) is not None


def _without_annotations(steps):
    """The transforms but those that load what a picture in use does not have."""
    kept = [copy.deepcopy(step) for step in steps if _loads_pictures(step) or not type_name(step).startswith('Load')]
    for step in kept:
        if 'transforms' in step:
            step['transforms'] = _without_annotations(step['transforms'])
    return kept
