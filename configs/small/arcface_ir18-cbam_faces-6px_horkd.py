# HORKD: L1 between embeddings, Huber between their distances and angles.
_base_ = './arcface_ir18-cbam_faces-6px_askd.py'
_base_.custom_hooks[-1].losses = dict(
    loss_relation=dict(type='HybridOrderRelationLoss', orders=(1.0, 20.0, 25.0), weight=1.0)
)
