# F-SKD (Shin et al., 2023): the cosine distance between features.
_base_ = './arcface_ir18-cbam_faces-6px_askd.py'
_base_.custom_hooks[-1].losses = dict(loss_feature=dict(type='FeatureSimilarityLoss', weight=5.0))
