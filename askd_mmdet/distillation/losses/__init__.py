"""One file per distillation method; each is a loss that names the taps it compares."""

from askd_mmdet.distillation.losses.attention_similarity import (
    AttentionSimilarityLoss,
    attention_similarity,
)
from askd_mmdet.distillation.losses.attention_transfer import AttentionTransferLoss
from askd_mmdet.distillation.losses.base import DistillationLoss
from askd_mmdet.distillation.losses.channel_wise import ChannelWiseLoss
from askd_mmdet.distillation.losses.class_relation import ClassRelationLoss
from askd_mmdet.distillation.losses.feature import FeatureLoss
from askd_mmdet.distillation.losses.feature_similarity import FeatureSimilarityLoss
from askd_mmdet.distillation.losses.hybrid_order_relation import HybridOrderRelationLoss
from askd_mmdet.distillation.losses.logit import LogitLoss
from askd_mmdet.distillation.losses.masked_generation import MaskedGenerationLoss
from askd_mmdet.distillation.losses.normalised_feature import NormalisedFeatureLoss
from askd_mmdet.distillation.losses.relation import RelationLoss

__all__ = [
    'AttentionSimilarityLoss',
    'AttentionTransferLoss',
    'ChannelWiseLoss',
    'ClassRelationLoss',
    'DistillationLoss',
    'FeatureLoss',
    'FeatureSimilarityLoss',
    'HybridOrderRelationLoss',
    'LogitLoss',
    'MaskedGenerationLoss',
    'NormalisedFeatureLoss',
    'RelationLoss',
    'attention_similarity',
]
