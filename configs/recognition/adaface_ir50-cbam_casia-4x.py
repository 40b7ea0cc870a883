# LR base with AdaFace's margin.
_base_ = './arcface_ir50-cbam_casia-4x.py'
model = dict(head=dict(type='AdaFaceHead', scale=64.0, margins=0.4))
