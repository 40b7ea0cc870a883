# TinaFace's schedule, as vedadet runs it: 21 cosine periods of 30 epochs, whose rate changes between epochs alone.
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=630, val_interval=30)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=3.75e-3, momentum=0.9, weight_decay=5e-4),
)
param_scheduler = [
    # Before the warm-up, else its first period runs at the warm-up's inverse: ten times the rate.
    dict(
        type='CosineRestartLR',
        periods=[30] * 21,
        restart_weights=[1] * 21,
        eta_min_ratio=0.01,
        by_epoch=True,
    ),
    # Full at iteration 500, counted from 0.
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=501),
]
# The rate above is for 12 pictures a step; it follows the number of GPUs and pictures.
auto_scale_lr = dict(enable=True, base_batch_size=12)
