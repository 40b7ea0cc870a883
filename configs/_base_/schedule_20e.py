# Sec. 4.1. The authors' code steps before an epoch, so that epochs 6, 11, 15 and 17, counted from 1, are the first at a
# lower rate; MMEngine steps after one, and its milestones count the epochs before.
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=20, val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4),
)
param_scheduler = [dict(type='MultiStepLR', milestones=[5, 10, 14, 16], gamma=0.1, by_epoch=True)]
# The rate above is for 128 pictures a step; it follows the number of GPUs and pictures.
auto_scale_lr = dict(enable=True, base_batch_size=128)
