# AT* of table 3: the maps of AT under the cosine distance. The weight is A-SKD's.
_base_ = './arcface_ir50-cbam_casia-2x_askd.py'
_base_.custom_hooks[-1].losses = dict(loss_attention=dict(type='AttentionTransferLoss', distance='cosine', weight=5.0))
