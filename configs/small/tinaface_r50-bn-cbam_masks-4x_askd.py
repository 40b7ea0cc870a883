# A-SKD student.
_base_ = './tinaface_r50-bn-cbam_masks-4x.py'
_base_.train_dataloader.dataset.pipeline[-1].keep_hr = True
custom_hooks = [
    *_base_.custom_hooks,
    dict(
        type='DistillationHook',
        teacher='askd_mmdet::small/tinaface_r50-bn-cbam_masks.py',
        checkpoint='work_dirs/tinaface_r50-bn-cbam_masks/epoch_40.pth',
        losses=dict(loss_attention=dict(type='AttentionSimilarityLoss', weight=5.0)),
    ),
]
