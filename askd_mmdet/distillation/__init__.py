"""The hook that feeds HR images to a frozen teacher and LR images to the student, and the losses between them."""

from askd_mmdet.distillation.hook import DistillationHook
from askd_mmdet.distillation.losses import (
    AttentionSimilarityLoss,
    DistillationLoss,
    attention_similarity,
)

__all__ = [
    'AttentionSimilarityLoss',
    'DistillationHook',
    'DistillationLoss',
    'attention_similarity',
]
