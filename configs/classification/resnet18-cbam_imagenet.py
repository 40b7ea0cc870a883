# HR: row 1x of table 4, and the teacher of the distilled experiments.
_base_ = [
    '../_base_/resnet18-cbam.py',
    '../_base_/imagenet.py',
    '../_base_/schedule_100e.py',
    '../_base_/runtime_classification.py',
]
