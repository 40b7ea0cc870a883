# A-SKD. The weight is lambda of eq. 9.
_base_ = './resnet50-cbam_imagenet-4x_kd.py'
_base_.custom_hooks[-1].losses = dict(loss_attention=dict(type='AttentionSimilarityLoss', weight=5.0))
