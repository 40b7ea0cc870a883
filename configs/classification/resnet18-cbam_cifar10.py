# HR: CIFAR-10 at its 32x32 pixels, and the teacher of the distilled experiments. Small enough for two cores: a quarter
# of ResNet-18's width, its first stage at 16x16, and twelve epochs.
_base_ = [
    '../_base_/resnet18-cbam.py',
    '../_base_/cifar10.py',
    '../_base_/schedule_100e.py',
    '../_base_/runtime_classification.py',
]
model = dict(
    backbone=dict(
        type='CBAMResNetCifar', stem_channels=16, base_channels=16, strides=(2, 2, 2, 2), cbam=dict(reduction=4)
    ),
    head=dict(num_classes=10, in_channels=128),
)
train_cfg = dict(max_epochs=12, val_interval=1)
train_dataloader = dict(batch_size=64)
optim_wrapper = dict(optimizer=dict(nesterov=True, weight_decay=5e-4))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, begin=0, end=1, by_epoch=True, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', T_max=11, begin=1, end=12, by_epoch=True, convert_to_iter_based=True),
]
auto_scale_lr = dict(base_batch_size=128)
