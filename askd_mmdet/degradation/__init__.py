"""HR -> LR: one pure function, and the transform that keeps the pair aligned (sec. 3.1)."""

from askd_mmdet.degradation.low_resolution import low_resolution
from askd_mmdet.degradation.transform import LowResolution

__all__ = ['LowResolution', 'low_resolution']
