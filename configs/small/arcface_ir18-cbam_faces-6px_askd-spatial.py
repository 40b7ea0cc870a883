# A-SKD on spatial maps alone, as in table 3.
_base_ = './arcface_ir18-cbam_faces-6px_askd.py'
_base_.custom_hooks[-1].losses = dict(loss_attention=dict(type='AttentionSimilarityLoss', channel=None, weight=5.0))
