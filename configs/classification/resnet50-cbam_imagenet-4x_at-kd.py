# AT, with the teacher's class probabilities.
_base_ = './resnet50-cbam_imagenet-4x_kd.py'
_base_.custom_hooks[-1].losses.loss_attention = dict(type='AttentionTransferLoss', weight=1000.0)
