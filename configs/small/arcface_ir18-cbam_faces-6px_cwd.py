# CWD: the positions where each channel of the stages is strong. 5 is the weight for TinaFace's FPN.
_base_ = './arcface_ir18-cbam_faces-6px_askd.py'
_base_.custom_hooks[-1].losses = dict(loss_feature=dict(type='ChannelWiseLoss', tap='backbone.layer?', weight=5.0))
