# WIDER FACE as downloaded; `askd check` says what is missing.
data_root = 'data/wider_face/'
load = [dict(type='LoadPicture'), dict(type='LoadAnnotations', with_bbox=True)]
# ratio=1: HR. The LR experiments change the ratio, the distilled ones also keep the HR image beside the LR one.
train_pipeline = [
    *load,
    dict(
        type='LowResolution',
        ratio=1,
        keep_hr=False,
        vary=True,
        transforms=[
            dict(type='SquareCrop', scales=(0.3, 0.45, 0.6, 0.8, 1.0)),
            dict(
                type='ClippedPhotoMetricDistortion',
                prob=0.5,
                brightness_delta=32,
                contrast_range=(0.5, 1.5),
                saturation_range=(0.5, 1.5),
                hue_delta=18,
            ),
            dict(type='RandomFlip', prob=0.5),
            dict(type='Resize', scale=(640, 640), keep_ratio=False),
            dict(type='PackDetInputs'),
        ],
    ),
]
test_pipeline = [
    *load,
    dict(
        type='LowResolution',
        ratio=1,
        vary=False,
        transforms=[
            dict(type='Resize', scale=(1650, 1100), keep_ratio=True),
            # `instances` in the original pixels, for CocoMetric.
            dict(
                type='PackDetInputs',
                meta_keys=(
                    'img_id',
                    'img_path',
                    'ori_shape',
                    'img_shape',
                    'scale_factor',
                    'instances',
                ),
            ),
        ],
    ),
]
train_dataloader = dict(
    batch_size=4,
    num_workers=4,
    persistent_workers=False,  # EpochSeedHook seeds them anew at every epoch
    worker_init_fn=dict(type='seed_worker'),
    # All pictures have one size: a batch crosses from its worker as one tensor.
    collate_fn=dict(type='default_collate'),
    pin_memory=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='WiderFaceTxtDataset',
        data_root=data_root,
        ann_file='wider_face_split/wider_face_train_bbx_gt.txt',
        data_prefix=dict(img_path='WIDER_train/images/'),
        filter_cfg=dict(filter_empty_gt=True),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='WiderFaceTxtDataset',
        data_root=data_root,
        ann_file='wider_face_split/wider_face_val_bbx_gt.txt',
        data_prefix=dict(img_path='WIDER_val/images/'),
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='WiderFaceMetric', ground_truth=f'{data_root}eval_tools/ground_truth')
test_evaluator = val_evaluator
