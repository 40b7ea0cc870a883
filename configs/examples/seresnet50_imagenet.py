# HR, and the teacher: mmpretrain's SE-ResNet-50 as it is, with channel attention of its own.
_base_ = 'mmpretrain::seresnet/seresnet50_8xb32_in1k.py'
custom_imports = dict(imports=['askd_mmdet'])
runner_type = 'SafeRunner'
randomness = dict(seed=0)

# ratio=1: HR. The ratio is that of the 224x224 the network sees, so the degradation comes after the crop.
train_pipeline = [
    *_base_.train_pipeline[:2],
    dict(type='LowResolution', ratio=1, keep_hr=False, transforms=_base_.train_pipeline[2:]),
]
test_pipeline = [
    *_base_.test_pipeline[:3],
    dict(type='LowResolution', ratio=1, transforms=_base_.test_pipeline[3:]),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
