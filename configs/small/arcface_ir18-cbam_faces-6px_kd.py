# Logit distillation on the margin-free logits.
_base_ = './arcface_ir18-cbam_faces-6px_askd.py'
_base_.custom_hooks[-1].losses = dict(
    loss_logit=dict(type='LogitLoss', tap='head.norm_product', scale=32.0, weight=1.0)
)
