# A-SKD+KD.
_base_ = './arcface_ir18-cbam_faces-6px_askd.py'
_base_.custom_hooks[-1].losses = dict(
    loss_attention=dict(type='AttentionSimilarityLoss', weight=5.0),
    loss_logit=dict(type='LogitLoss', tap='head.norm_product', scale=32.0, weight=1.0),
)
