"""Attention similarity knowledge distillation (A-SKD) for low-resolution vision.

Importing the package registers its core (attention, degradation, distillation, training) in MMEngine's root registries;
importing `askd_mmdet.detection` also registers the face detector in MMDetection's, and importing
`askd_mmdet.recognition` the face recognizer in MMPretrain's.
"""

from askd_mmdet import attention, degradation, distillation, training
from askd_mmdet.version import __version__

__all__ = ['__version__', 'attention', 'degradation', 'distillation', 'training']
