# PKD: the stages' outputs, normalised. 10 is the weight for TinaFace's FPN.
_base_ = './arcface_ir18-cbam_faces-6px_askd.py'
_base_.custom_hooks[-1].losses = dict(
    loss_feature=dict(type='NormalisedFeatureLoss', tap='backbone.layer?', weight=10.0)
)
