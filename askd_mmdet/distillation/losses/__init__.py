"""One file per distillation method; each is a loss that names the taps it compares."""

from askd_mmdet.distillation.losses.attention_similarity import (
    AttentionSimilarityLoss,
    attention_similarity,
)
from askd_mmdet.distillation.losses.base import DistillationLoss

__all__ = ['AttentionSimilarityLoss', 'DistillationLoss', 'attention_similarity']
