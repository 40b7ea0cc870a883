"""Attention similarity knowledge distillation (A-SKD) for low-resolution vision.

Importing the package costs nothing and registers nothing. `askd_mmdet.core` registers attention, degradation,
distillation and training in MMEngine's root registries, and makes the shipped configs known as `askd_mmdet::...`;
`askd_mmdet.detection`, `.recognition` and `.classification` add their tasks to MMDetection's and MMPretrain's.
"""

from askd_mmdet.version import __version__

__all__ = ['__version__']
