# LR base: the same network on LR pictures, without distillation. The ratio is that of the 224x224 the network sees, so
# the degradation comes after the crop.
_base_ = './resnet18_imagenet.py'
custom_hooks = [dict(type='LowResolutionHook', ratio=4, after=['RandomResizedCrop', 'CenterCrop'])]
