# A-SKD. The weight is lambda of eq. 9.
_base_ = './tinaface_r50-bn-cbam_coco-4x.py'
_base_.train_dataloader.dataset.pipeline[-1].keep_hr = True
custom_hooks = [
    *_base_.custom_hooks,
    dict(
        type='DistillationHook',
        teacher='askd_mmdet::detection/tinaface_r50-bn-cbam_coco.py',
        checkpoint='work_dirs/tinaface_r50-bn-cbam_coco/epoch_630.pth',
        losses=dict(loss_attention=dict(type='AttentionSimilarityLoss', weight=5.0)),
    ),
]
