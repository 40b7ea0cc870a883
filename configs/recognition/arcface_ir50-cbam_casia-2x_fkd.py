# F-KD: L2 between embeddings.
_base_ = './arcface_ir50-cbam_casia-2x.py'
_base_.train_dataloader.dataset.pipeline[-1].keep_hr = True
custom_hooks = [
    *_base_.custom_hooks,
    dict(
        type='DistillationHook',
        teacher='configs/recognition/arcface_ir50-cbam_casia.py',
        checkpoint='work_dirs/arcface_ir50-cbam_casia/epoch_20.pth',
        losses=dict(loss_feature=dict(type='FeatureLoss', weight=1.0)),
    ),
]
