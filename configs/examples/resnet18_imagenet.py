# HR, and the teacher: mmpretrain's ResNet-18 as it is, without attention.
_base_ = 'mmpretrain::resnet/resnet18_8xb32_in1k.py'
custom_imports = dict(imports=['askd_mmdet.core'])
runner_type = 'SafeRunner'
randomness = dict(seed=0)
