# A-SKD with AdaFace's margin in both networks.
_base_ = './arcface_ir50-cbam_casia-4x_askd.py'
model = dict(head=dict(type='AdaFaceHead', scale=64.0, margins=0.4))
_base_.custom_hooks[-1].update(
    teacher='askd_mmdet::recognition/adaface_ir50-cbam_casia.py',
    checkpoint='work_dirs/adaface_ir50-cbam_casia/epoch_20.pth',
)
