# HR with ResNet-50, whose blocks are bottlenecks.
_base_ = './resnet18-cbam_imagenet.py'
model = dict(backbone=dict(depth=50), head=dict(in_channels=2048))
