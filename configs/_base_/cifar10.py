# CIFAR-10: class folders below train/ and test/, or its own cifar-10-batches-py.
data_root = 'data/cifar10/'
# ratio=1: HR. Crops come before the degradation, so that the LR grid lies in a training crop as in a test picture.
train_pipeline = [
    dict(type='LoadPicture'),
    dict(type='RandomCrop', crop_size=32, padding=4),
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
    dict(type='LowResolution', ratio=1, vary=False, transforms=[dict(type='PackInputs')]),
]
train_dataloader = dict(
    batch_size=128,
    num_workers=2,
    persistent_workers=False,  # EpochSeedHook seeds them anew at every epoch
    worker_init_fn=dict(type='seed_worker'),
    # All pictures have one size: a batch crosses from its worker as one tensor.
    collate_fn=dict(type='default_collate'),
    pin_memory=True,
    drop_last=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(type='Cifar10Dataset', data_root=data_root, split='train', pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=256,
    num_workers=2,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='Cifar10Dataset', data_root=data_root, split='test', pipeline=test_pipeline),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='Accuracy', topk=(1,))
test_evaluator = val_evaluator
