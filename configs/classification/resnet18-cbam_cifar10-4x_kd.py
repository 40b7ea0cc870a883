# KD: the teacher's class probabilities.
_base_ = './resnet18-cbam_cifar10-4x.py'
_base_.train_dataloader.dataset.pipeline[-1].keep_hr = True
custom_hooks = [
    *_base_.custom_hooks,
    dict(
        type='DistillationHook',
        teacher='askd_mmdet::classification/resnet18-cbam_cifar10.py',
        checkpoint='work_dirs/resnet18-cbam_cifar10/epoch_12.pth',
        losses=dict(loss_logit=dict(type='LogitLoss', tap='head.fc', weight=1.0)),
    ),
]
