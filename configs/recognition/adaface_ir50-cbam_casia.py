# AdaFace's margin instead of ArcFace's: the teacher of the distilled experiment.
_base_ = './arcface_ir50-cbam_casia.py'
model = dict(head=dict(type='AdaFaceHead', scale=64.0, margins=0.4))
