_base_ = './runtime.py'
default_scope = 'mmpretrain'
custom_imports = dict(imports=['askd_mmdet.recognition'], allow_failed_imports=False)
default_hooks = dict(
    checkpoint=dict(save_best='verification/accuracy'),
    classes=dict(type='ClassesHook'),
)
visualizer = dict(type='UniversalVisualizer', vis_backends=[dict(type='LocalVisBackend')])
env_cfg = dict(cudnn_benchmark=True)  # pictures of one size, in training and test
