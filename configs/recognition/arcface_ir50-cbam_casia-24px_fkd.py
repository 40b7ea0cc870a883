# F-KD: L2 between embeddings. The weight is ours.
_base_ = './arcface_ir50-cbam_casia-24px_askd.py'
_base_.custom_hooks[-1].losses = dict(loss_feature=dict(type='FeatureLoss', weight=1.0))
