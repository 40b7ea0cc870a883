"""The core, registered: what a config imports (`custom_imports`) to distil any OpenMMLab model.

With it the shipped configs are known to MMEngine, as `_base_ = 'askd_mmdet::detection/...'` and in `get_config`.
"""

from askd_mmdet.openmmlab import check

check('mmengine', 'mmcv')

from askd_mmdet import attention, degradation, distillation, training

__all__ = ['attention', 'degradation', 'distillation', 'training']
