"""HR -> LR: one pure function, and the transform that keeps the pair aligned (sec. 3.1)."""

from askd_mmdet.degradation.low_resolution import enlarge, low_resolution
from askd_mmdet.degradation.transform import LowResolution, ResizeToHR

__all__ = ['LowResolution', 'ResizeToHR', 'enlarge', 'low_resolution']
