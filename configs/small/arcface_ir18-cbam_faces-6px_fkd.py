# F-KD: L2 between embeddings.
_base_ = './arcface_ir18-cbam_faces-6px_askd.py'
_base_.custom_hooks[-1].losses = dict(loss_feature=dict(type='FeatureLoss', weight=1.0))
