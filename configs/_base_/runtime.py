runner_type = 'SafeRunner'
default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(
        type='CrashSafeCheckpointHook',
        interval=1,
        max_keep_ckpts=3,
        rule='greater',
    ),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    correlation=dict(type='AttentionCorrelationHook'),  # of students alone
)
custom_hooks = [
    dict(type='EpochSeedHook'),
    dict(type='FiniteLossHook'),
    dict(type='UnreadableImagesHook'),
    dict(type='SyncBuffersHook'),  # the processes validate, and save, the same batch norm statistics
]
env_cfg = dict(
    # Trying cuDNN's algorithms pays where all pictures have one size. A detector is validated and tested on pictures of
    # hundreds of sizes, at each of which it would try them anew, layer by layer, in memory of its own.
    cudnn_benchmark=False,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)
randomness = dict(seed=0)
log_processor = dict(type='LogProcessor', window_size=50, by_epoch=True)
log_level = 'INFO'
load_from = None
resume = False
