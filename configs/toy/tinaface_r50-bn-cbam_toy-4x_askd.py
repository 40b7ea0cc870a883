# A-SKD student of the demo.
_base_ = './tinaface_r50-bn-cbam_toy-4x.py'
_base_.train_dataloader.dataset.pipeline[-1].keep_hr = True
custom_hooks = [
    *_base_.custom_hooks,
    dict(
        type='DistillationHook',
        teacher='askd_mmdet::toy/tinaface_r50-bn-cbam_toy.py',
        checkpoint='work_dirs/tinaface_r50-bn-cbam_toy/epoch_20.pth',
        losses=dict(loss_attention=dict(type='AttentionSimilarityLoss', weight=5.0)),
    ),
]
