# HORKD: L1 between embeddings, Huber between their distances and angles.
_base_ = './arcface_ir50-cbam_casia-24px_askd.py'
_base_.custom_hooks[-1].losses = dict(loss_relation=dict(type='HybridOrderRelationLoss', weight=1.0))
