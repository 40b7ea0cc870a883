# A-SKD+KD. The weight of loss_attention is lambda of eq. 9.
_base_ = './resnet18-cbam_cifar10-4x_kd.py'
_base_.custom_hooks[-1].losses.loss_attention = dict(type='AttentionSimilarityLoss', weight=5.0)
