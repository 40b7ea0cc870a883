# DIST: how the class probabilities correlate. 2 and 2 are the paper's weights.
_base_ = './resnet50-cbam_imagenet-4x_kd.py'
_base_.custom_hooks[-1].losses = dict(loss_relation=dict(type='ClassRelationLoss', between=2.0, within=2.0))
