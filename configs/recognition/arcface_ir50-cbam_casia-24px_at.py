# AT: L2 between maps that no layer learns. 1000 times the sum over the stages is its authors' weight.
_base_ = './arcface_ir50-cbam_casia-24px_askd.py'
_base_.custom_hooks[-1].losses = dict(loss_attention=dict(type='AttentionTransferLoss', weight=1000.0))
