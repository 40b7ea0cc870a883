"""HR -> LR: one pure function, and the transform that keeps the pair aligned (sec. 3.1)."""

from .low_resolution import low_resolution
from .transform import LowResolution, find_low_resolution

__all__ = ['LowResolution', 'find_low_resolution', 'low_resolution']
