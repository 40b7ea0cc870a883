"""HR -> LR: one pure function, the transform that keeps the pair aligned, and the hook that degrades any config."""

from askd_mmdet.degradation.hook import LowResolutionHook
from askd_mmdet.degradation.low_resolution import RECIPES, enlarge, low_resolution
from askd_mmdet.degradation.transform import LowResolution, ResizeToHR

__all__ = ['RECIPES', 'LowResolution', 'LowResolutionHook', 'ResizeToHR', 'enlarge', 'low_resolution']
