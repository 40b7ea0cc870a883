# A-SKD student.
_base_ = './arcface_ir18-cbam_faces-6px.py'
_base_.train_dataloader.dataset.pipeline[-1].keep_hr = True
custom_hooks = [
    *_base_.custom_hooks,
    dict(
        type='DistillationHook',
        teacher='askd_mmdet::small/arcface_ir18-cbam_faces.py',
        checkpoint='work_dirs/arcface_ir18-cbam_faces/epoch_12.pth',
        losses=dict(loss_attention=dict(type='AttentionSimilarityLoss', weight=5.0)),
    ),
]
