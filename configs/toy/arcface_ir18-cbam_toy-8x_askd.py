# A-SKD student of the recognition demo.
_base_ = './arcface_ir18-cbam_toy-8x.py'
_base_.train_dataloader.dataset.pipeline[-1].keep_hr = True
custom_hooks = [
    *_base_.custom_hooks,
    dict(
        type='DistillationHook',
        teacher='askd_mmdet::toy/arcface_ir18-cbam_toy.py',
        checkpoint='work_dirs/arcface_ir18-cbam_toy/epoch_8.pth',
        losses=dict(loss_attention=dict(type='AttentionSimilarityLoss', weight=5.0)),
    ),
]
