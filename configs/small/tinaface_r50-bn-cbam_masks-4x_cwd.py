# CWD: the positions where each channel of the FPN's outputs is strong. 5 is mmdetection-distiller's weight for them.
_base_ = './tinaface_r50-bn-cbam_masks-4x_askd.py'
_base_.custom_hooks[-1].losses = dict(loss_feature=dict(type='ChannelWiseLoss', tap='neck.0', weight=5.0))
