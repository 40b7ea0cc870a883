# HR, and the teacher of the distilled experiments: the real experiment, shrunk until a core trains it in seconds.
_base_ = '../classification/resnet18-cbam_imagenet.py'
data_root = 'data/toy_pictures/'

# An eighth of the width.
model = dict(
    backbone=dict(stem_channels=8, base_channels=8, cbam=dict(reduction=4)),
    head=dict(num_classes=9, in_channels=64),
)

# Pictures of 64x64, and crops that leave of a texture enough to tell it by.
_base_.train_dataloader.dataset.pipeline[1].update(scale=64, crop_ratio_range=(0.25, 1.0))
_base_.val_dataloader.dataset.pipeline[1].scale = 64
_base_.val_dataloader.dataset.pipeline[2].crop_size = 64
_base_.test_dataloader.dataset.pipeline[1].scale = 64
_base_.test_dataloader.dataset.pipeline[2].crop_size = 64
train_dataloader = dict(batch_size=16, num_workers=1, dataset=dict(data_root=data_root))
val_dataloader = dict(num_workers=1, dataset=dict(data_root=data_root))
test_dataloader = val_dataloader

# A short schedule.
train_cfg = dict(max_epochs=12, val_interval=3)
_base_.param_scheduler[0].milestones = [8, 11]
auto_scale_lr = dict(base_batch_size=16)
default_hooks = dict(logger=dict(interval=25))
