# ArcFace on an IR-ResNet-50 with CBAM, as in the authors' code, whose checkpoints fit after conversion.
model = dict(
    type='FaceRecognizer',
    # (x / 255 - 0.5) / 0.5, BGR
    data_preprocessor=dict(type='ClsDataPreprocessor', mean=[127.5] * 3, std=[127.5] * 3, to_rgb=False),
    backbone=dict(
        type='IRResNet',
        depth=50,
        # 'conv' and a kernel of 7 are the paper's text: CBAM after every 3x3 convolution, 7x7 in its spatial map.
        attention='block',
        cbam=dict(type='CBAM', reduction=16, kernel_size=3),
        embedding_dims=512,
    ),
    # 10,572 identities are in insightface's CASIA-WebFace.
    head=dict(type='ArcFaceHead', num_classes=10572, in_channels=512, scale=32.0, margins=0.5),
)
