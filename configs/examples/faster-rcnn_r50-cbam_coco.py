# HR, and the teacher: MMDetection's Faster R-CNN with CBAM after every 3x3 convolution of its backbone.
_base_ = 'mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py'
custom_imports = dict(imports=['askd_mmdet'])
runner_type = 'SafeRunner'
randomness = dict(seed=0)

# The base freezes the stem and the first stage, whose CBAMs are not pretrained and would stay random.
model = dict(backbone=dict(frozen_stages=0, plugins=[dict(cfg=dict(type='CBAM'), position='after_conv2')]))

# ratio=1: HR. All that comes after the degradation goes inside, where it treats both pictures alike.
train_pipeline = [
    *_base_.train_pipeline[:2],  # the picture and its boxes
    dict(type='LowResolution', ratio=1, keep_hr=False, transforms=_base_.train_pipeline[2:]),
]
test_pipeline = [
    _base_.test_pipeline[0],
    dict(type='LowResolution', ratio=1, transforms=_base_.test_pipeline[1:]),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
