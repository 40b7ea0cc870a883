"""The hook that feeds HR images to a frozen teacher and LR images to the student, and the losses between them."""

from askd_mmdet.distillation.control import MismatchedTeacherHook
from askd_mmdet.distillation.correlation_hook import AttentionCorrelationHook
from askd_mmdet.distillation.hook import DistillationHook
from askd_mmdet.distillation.losses import (
    AttentionSimilarityLoss,
    AttentionTransferLoss,
    DistillationLoss,
    FeatureLoss,
    FeatureSimilarityLoss,
    HybridOrderRelationLoss,
    LogitLoss,
    RelationLoss,
    attention_similarity,
)

__all__ = [
    'AttentionCorrelationHook',
    'AttentionSimilarityLoss',
    'AttentionTransferLoss',
    'DistillationHook',
    'DistillationLoss',
    'FeatureLoss',
    'FeatureSimilarityLoss',
    'HybridOrderRelationLoss',
    'LogitLoss',
    'MismatchedTeacherHook',
    'RelationLoss',
    'attention_similarity',
]
