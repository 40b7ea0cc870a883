# RKD, with the teacher's class probabilities.
_base_ = './resnet50-cbam_imagenet-4x_kd.py'
_base_.custom_hooks[-1].losses.loss_relation = dict(type='RelationLoss', weight=1.0)
