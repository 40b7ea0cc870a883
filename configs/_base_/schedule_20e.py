# Sec. 4.1 and the authors' code: the rate falls at epochs 6, 11, 15 and 17.
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=20, val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4),
)
param_scheduler = [dict(type='MultiStepLR', milestones=[6, 11, 15, 17], gamma=0.1, by_epoch=True)]
# The rate above is for 128 pictures a step; it follows the number of GPUs and pictures.
auto_scale_lr = dict(enable=True, base_batch_size=128)
