# The paper's supplement is not public: this is mmpretrain's schedule for ResNets on ImageNet.
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=100, val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=1e-4))
param_scheduler = [dict(type='MultiStepLR', milestones=[30, 60, 90], gamma=0.1, by_epoch=True)]
# The rate above is for 256 pictures a step; it follows the number of GPUs and pictures.
auto_scale_lr = dict(enable=True, base_batch_size=256)
