# MGD: the FPN's outputs, generated from the student's masked ones; as the paper has it for one-stage detectors.
_base_ = './tinaface_r50-bn-cbam_widerface-16x_askd.py'
_base_.custom_hooks[-1].losses = dict(
    loss_feature=dict(type='MaskedGenerationLoss', tap='neck.0', channels=[256] * 6, ratio=0.65, weight=2e-5)
)
