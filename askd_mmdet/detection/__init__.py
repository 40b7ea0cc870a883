"""TinaFace and WIDER FACE for MMDetection (sec. 6.2)."""

import askd_mmdet.core  # noqa: F401, which a config of this task needs as well
from askd_mmdet.openmmlab import load

load('mmdet')

from askd_mmdet.detection.cbam_resnet import CBAMResNet
from askd_mmdet.detection.coco_faces import CocoFaceDataset
from askd_mmdet.detection.deformable import TorchvisionDCN
from askd_mmdet.detection.detector import Detections, FaceDetector
from askd_mmdet.detection.inception import InceptionContext
from askd_mmdet.detection.iou_aware_head import IoUAwareRetinaHead
from askd_mmdet.detection.max_iou_assigner import VectorizedMaxIoUAssigner
from askd_mmdet.detection.photometric_distortion import ClippedPhotoMetricDistortion
from askd_mmdet.detection.square_crop import SquareCrop
from askd_mmdet.detection.wider_face_dataset import WiderFaceTxtDataset
from askd_mmdet.detection.wider_face_metric import WiderFaceMetric
from askd_mmdet.detection.zero_init_resnet import ZeroInitResNet

__all__ = [
    'CBAMResNet',
    'ClippedPhotoMetricDistortion',
    'CocoFaceDataset',
    'Detections',
    'FaceDetector',
    'InceptionContext',
    'IoUAwareRetinaHead',
    'SquareCrop',
    'TorchvisionDCN',
    'VectorizedMaxIoUAssigner',
    'WiderFaceMetric',
    'WiderFaceTxtDataset',
    'ZeroInitResNet',
]
