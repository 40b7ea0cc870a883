# HR, and the teacher: MMDetection's Faster R-CNN with CBAM after every 3x3 convolution of its backbone.
_base_ = 'mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py'
custom_imports = dict(imports=['askd_mmdet.core'])
runner_type = 'SafeRunner'
randomness = dict(seed=0)

# The base freezes the stem and the first stage, whose CBAMs are not pretrained and would stay random.
model = dict(backbone=dict(frozen_stages=0, plugins=[dict(cfg=dict(type='CBAM'), position='after_conv2')]))
