# KD: the teacher's class probabilities.
_base_ = './resnet50-cbam_imagenet-4x.py'
_base_.train_dataloader.dataset.pipeline[-1].keep_hr = True
custom_hooks = [
    *_base_.custom_hooks,
    dict(
        type='DistillationHook',
        teacher='askd_mmdet::classification/resnet50-cbam_imagenet.py',
        checkpoint='work_dirs/resnet50-cbam_imagenet/epoch_100.pth',
        losses=dict(loss_logit=dict(type='LogitLoss', tap='head.fc', weight=1.0)),
    ),
]
