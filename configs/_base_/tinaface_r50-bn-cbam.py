# TinaFace (Zhu et al., 2020) with CBAM after every 3x3 convolution of the backbone.
norm_cfg = dict(type='BN', requires_grad=True)
model = dict(
    type='SingleStageDetector',
    data_preprocessor=dict(
        type='DetDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[1.0, 1.0, 1.0],
        bgr_to_rgb=True,
        pad_size_divisor=32,
    ),
    backbone=dict(
        type='ResNet',
        depth=50,
        num_stages=4,
        out_indices=(0, 1, 2, 3),
        norm_cfg=norm_cfg,
        norm_eval=False,
        style='pytorch',
        plugins=[dict(cfg=dict(type='CBAM', reduction=16, kernel_size=7), position='after_conv2')],
        init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet50'),
    ),
    neck=[
        dict(
            type='FPN',
            in_channels=[256, 512, 1024, 2048],
            out_channels=256,
            start_level=0,
            add_extra_convs='on_input',
            num_outs=6,
            norm_cfg=norm_cfg,
            upsample_cfg=dict(mode='bilinear'),
        ),
        dict(type='InceptionContext', channels=256, norm_cfg=norm_cfg),
    ],
    bbox_head=dict(
        type='IoUAwareRetinaHead',
        num_classes=1,
        in_channels=256,
        feat_channels=256,
        stacked_convs=4,
        norm_cfg=norm_cfg,
        anchor_generator=dict(
            type='AnchorGenerator',
            octave_base_scale=2 ** (4 / 3),
            scales_per_octave=3,
            ratios=[1.3],
            strides=[4, 8, 16, 32, 64, 128],
        ),
        bbox_coder=dict(type='DeltaXYWHBBoxCoder', target_stds=[0.1, 0.1, 0.2, 0.2]),
        reg_decoded_bbox=True,
        loss_cls=dict(type='FocalLoss', use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=1.0),
        loss_bbox=dict(type='DIoULoss', loss_weight=2.0),
        loss_iou=dict(type='CrossEntropyLoss', use_sigmoid=True, loss_weight=1.0),
    ),
    train_cfg=dict(
        assigner=dict(
            type='VectorizedMaxIoUAssigner',
            pos_iou_thr=0.35,
            neg_iou_thr=0.35,
            min_pos_iou=0.35,
            ignore_iof_thr=-1,
        ),
        sampler=dict(type='PseudoSampler'),
        allowed_border=-1,
        pos_weight=-1,
    ),
    test_cfg=dict(
        score_alpha=0.4,
        score_thr=0.01,
        min_box_side=1,  # pixels of the network's image
        min_face_height=9,  # pixels of the original image
        # No cap before or after NMS; RetinaHead takes -1 as an index, so large numbers say "all".
        nms_pre=10**9,
        max_per_img=10**9,
        nms=dict(type='nms', iou_threshold=0.45),
    ),
)
