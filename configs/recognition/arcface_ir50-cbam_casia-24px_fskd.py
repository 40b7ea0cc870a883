# F-SKD (Shin et al., 2023): the cosine distance between features, 5 times the sum over the stages as in its code.
_base_ = './arcface_ir50-cbam_casia-24px_askd.py'
_base_.custom_hooks[-1].losses = dict(loss_feature=dict(type='FeatureSimilarityLoss', weight=5.0))
