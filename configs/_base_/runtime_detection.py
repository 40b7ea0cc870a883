_base_ = './runtime.py'
default_scope = 'mmdet'
custom_imports = dict(imports=['askd_mmdet.detection'], allow_failed_imports=False)
default_hooks = dict(
    checkpoint=dict(save_best='wider_face/hard'),
    visualization=dict(type='DetVisualizationHook'),
)
visualizer = dict(type='DetLocalVisualizer', name='visualizer', vis_backends=[dict(type='LocalVisBackend')])
