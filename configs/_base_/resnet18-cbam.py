# ResNet-18 with CBAM after every 3x3 convolution.
model = dict(
    type='ImageClassifier',
    data_preprocessor=dict(
        type='ClsDataPreprocessor', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True
    ),
    backbone=dict(
        type='CBAMResNet',
        depth=18,
        # 'block' puts one CBAM at the end of every residual block.
        attention='conv',
        cbam=dict(type='CBAM', reduction=16, kernel_size=7),
    ),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=1000, in_channels=512),
)
