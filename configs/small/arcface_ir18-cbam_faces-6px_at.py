# AT: L2 between maps that no layer learns.
_base_ = './arcface_ir18-cbam_faces-6px_askd.py'
_base_.custom_hooks[-1].losses = dict(loss_attention=dict(type='AttentionTransferLoss', weight=1000.0))
