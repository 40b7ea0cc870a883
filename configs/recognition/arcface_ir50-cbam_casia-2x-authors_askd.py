# The authors' own experiment: raw maps, and 5 times the sum of a layer's two distances, where eq. 8 has half of it.
_base_ = './arcface_ir50-cbam_casia-2x-authors.py'
_base_.train_dataloader.dataset.pipeline[-1].keep_hr = True
custom_hooks = [
    *_base_.custom_hooks,
    dict(
        type='DistillationHook',
        teacher='askd_mmdet::recognition/arcface_ir50-cbam_casia.py',
        checkpoint='work_dirs/arcface_ir50-cbam_casia/epoch_20.pth',
        losses=dict(loss_attention=dict(type='AttentionSimilarityLoss', maps='raw', weight=10.0)),
    ),
]
