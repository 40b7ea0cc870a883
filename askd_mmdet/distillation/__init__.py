"""The hook that feeds HR images to a frozen teacher and LR images to the student, and the losses between them."""

from askd_mmdet.distillation.control import MismatchedTeacherHook
from askd_mmdet.distillation.correlation_hook import AttentionCorrelationHook
from askd_mmdet.distillation.hook import DistillationHook
from askd_mmdet.distillation.losses import (
    AttentionSimilarityLoss,
    AttentionTransferLoss,
    ChannelWiseLoss,
    ClassRelationLoss,
    DistillationLoss,
    FeatureLoss,
    FeatureSimilarityLoss,
    HybridOrderRelationLoss,
    LogitLoss,
    MaskedGenerationLoss,
    NormalisedFeatureLoss,
    RelationLoss,
    attention_similarity,
)

__all__ = [
    'AttentionCorrelationHook',
    'AttentionSimilarityLoss',
    'AttentionTransferLoss',
    'ChannelWiseLoss',
    'ClassRelationLoss',
    'DistillationHook',
    'DistillationLoss',
    'FeatureLoss',
    'FeatureSimilarityLoss',
    'HybridOrderRelationLoss',
    'LogitLoss',
    'MaskedGenerationLoss',
    'MismatchedTeacherHook',
    'NormalisedFeatureLoss',
    'RelationLoss',
    'attention_similarity',
]
