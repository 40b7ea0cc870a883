# AT, with the teacher's class probabilities. 1000 times the sum over the stages is its authors' weight.
_base_ = './resnet18-cbam_cifar10-4x_kd.py'
_base_.custom_hooks[-1].losses.loss_attention = dict(type='AttentionTransferLoss', weight=1000.0)
