# F-SKD+KD student: the features of the four stages, and the class probabilities.
_base_ = './resnet18_imagenet-4x.py'
custom_hooks = [
    *_base_.custom_hooks,
    dict(
        type='DistillationHook',
        teacher='askd_mmdet::examples/resnet18_imagenet.py',
        checkpoint='work_dirs/resnet18_imagenet/epoch_100.pth',
        losses=dict(
            loss_features=dict(type='FeatureSimilarityLoss', tap='backbone.layer?', weight=5.0),
            loss_logit=dict(type='LogitLoss', tap='head.fc', weight=1.0),
        ),
    ),
]
