# A-SKD: row 16x of table 5 with distillation. The weight is lambda of eq. 9.
_base_ = './tinaface_r50-gn-dcn-cbam_widerface-16x.py'
_base_.train_dataloader.dataset.pipeline[-1].keep_hr = True
custom_hooks = [
    *_base_.custom_hooks,
    dict(
        type='DistillationHook',
        teacher='askd_mmdet::detection/tinaface_r50-gn-dcn-cbam_widerface.py',
        checkpoint='work_dirs/tinaface_r50-gn-dcn-cbam_widerface/epoch_630.pth',
        losses=dict(loss_attention=dict(type='AttentionSimilarityLoss', weight=5.0)),
    ),
]
