# PKD: the FPN's outputs, normalised. 10 is MMRazor's weight for RetinaNet.
_base_ = './tinaface_r50-bn-cbam_widerface-16x_askd.py'
_base_.custom_hooks[-1].losses = dict(loss_feature=dict(type='NormalisedFeatureLoss', tap='neck.0', weight=10.0))
