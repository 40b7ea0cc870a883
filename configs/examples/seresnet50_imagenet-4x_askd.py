# A-SKD student on the attention that the model has of its own. An SE layer has no spatial map, and its conv2 is a
# convolution with its sigmoid: the convolution inside puts out the raw map.
_base_ = './seresnet50_imagenet-4x.py'
custom_hooks = [
    *_base_.custom_hooks,
    dict(
        type='DistillationHook',
        teacher='askd_mmdet::examples/seresnet50_imagenet.py',
        checkpoint='work_dirs/seresnet50_imagenet/epoch_140.pth',
        losses=dict(
            loss_attention=dict(
                type='AttentionSimilarityLoss', channel='backbone.*.se_layer.conv2.conv', spatial=None, weight=5.0
            )
        ),
    ),
]
