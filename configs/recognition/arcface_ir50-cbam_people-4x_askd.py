# A-SKD. The weight is lambda of eq. 9.
_base_ = './arcface_ir50-cbam_people-4x.py'
_base_.train_dataloader.dataset.pipeline[-1].keep_hr = True
custom_hooks = [
    *_base_.custom_hooks,
    dict(
        type='DistillationHook',
        teacher='askd_mmdet::recognition/arcface_ir50-cbam_people.py',
        checkpoint='work_dirs/arcface_ir50-cbam_people/epoch_20.pth',
        losses=dict(loss_attention=dict(type='AttentionSimilarityLoss', weight=5.0)),
    ),
]
