# LR base: the same network, trained, validated and tested on LR pictures, without distillation.
_base_ = './faster-rcnn_r50-cbam_coco.py'
custom_hooks = [dict(type='LowResolutionHook', ratio=4)]
