# A-SKD student. By default the loss compares whatever is called channel_attention and spatial_attention.
_base_ = './faster-rcnn_r50-cbam_coco-4x.py'
custom_hooks = [
    *_base_.custom_hooks,
    dict(
        type='DistillationHook',
        teacher='askd_mmdet::examples/faster-rcnn_r50-cbam_coco.py',
        checkpoint='work_dirs/faster-rcnn_r50-cbam_coco/epoch_12.pth',
        losses=dict(loss_attention=dict(type='AttentionSimilarityLoss', weight=5.0)),
    ),
]
