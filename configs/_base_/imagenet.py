# ImageNet: train/<class>/*.JPEG, and val/ likewise or flat with meta/val.txt (then set ann_file).
data_root = 'data/imagenet/'
# ratio=1: HR. Pictures differ in size; the ratio is that of the 224x224 the network sees, so the degradation is last.
train_pipeline = [
    dict(type='LoadPicture'),
    dict(type='RandomResizedCrop', scale=224),
    dict(
        type='LowResolution',
        ratio=1,
        keep_hr=False,
        vary=True,
        transforms=[dict(type='RandomMirror', prob=0.5), dict(type='PackInputs')],
    ),
]
test_pipeline = [
    dict(type='LoadPicture'),
    dict(type='ResizeEdge', scale=256, edge='short'),
    dict(type='CenterCrop', crop_size=224),
    dict(type='LowResolution', ratio=1, vary=False, transforms=[dict(type='PackInputs')]),
]
train_dataloader = dict(
    batch_size=32,
    num_workers=8,
    persistent_workers=False,  # EpochSeedHook seeds them anew at every epoch
    worker_init_fn=dict(type='seed_worker'),
    # All pictures have one size: a batch crosses from its worker as one tensor.
    collate_fn=dict(type='default_collate'),
    pin_memory=True,
    drop_last=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(type='ClassFolderDataset', data_root=data_root, data_prefix='train', pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=64,
    num_workers=4,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='ClassFolderDataset', data_root=data_root, data_prefix='val', test_mode=True, pipeline=test_pipeline
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='Accuracy', topk=(1, 5))
test_evaluator = val_evaluator
