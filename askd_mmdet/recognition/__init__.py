"""Face recognition at low resolution: IR-ResNet, ArcFace, pairs, TinyFace and the two protocols (tables 1-3)."""

import askd_mmdet.core  # noqa: F401, which a config of this task needs as well
from askd_mmdet.openmmlab import load

load('mmpretrain')

from askd_mmdet.recognition.adaface_head import AdaFaceHead
from askd_mmdet.recognition.alignment import align
from askd_mmdet.recognition.arcface_head import ArcFaceHead
from askd_mmdet.recognition.datasets import (
    FaceFolderDataset,
    FaceRecordDataset,
    PairBundleDataset,
    PairListDataset,
    TinyFaceDataset,
)
from askd_mmdet.recognition.embedder import FaceEmbedder, search
from askd_mmdet.recognition.identification import identification_ranks, match_characteristic
from askd_mmdet.recognition.identification_metric import IdentificationMetric
from askd_mmdet.recognition.ir_resnet import IRResNet
from askd_mmdet.recognition.recognizer import FaceRecognizer
from askd_mmdet.recognition.verification import verify
from askd_mmdet.recognition.verification_metric import VerificationMetric

__all__ = [
    'AdaFaceHead',
    'ArcFaceHead',
    'FaceEmbedder',
    'FaceFolderDataset',
    'FaceRecognizer',
    'FaceRecordDataset',
    'IRResNet',
    'IdentificationMetric',
    'PairBundleDataset',
    'PairListDataset',
    'TinyFaceDataset',
    'VerificationMetric',
    'align',
    'identification_ranks',
    'match_characteristic',
    'search',
    'verify',
]
