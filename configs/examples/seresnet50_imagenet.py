# HR, and the teacher: mmpretrain's SE-ResNet-50 as it is, with channel attention of its own.
_base_ = 'mmpretrain::seresnet/seresnet50_8xb32_in1k.py'
custom_imports = dict(imports=['askd_mmdet.core'])
runner_type = 'SafeRunner'
randomness = dict(seed=0)
