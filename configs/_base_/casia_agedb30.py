# Training on CASIA-WebFace and validation on AgeDB-30, as in insightface's archive faces_webface_112x112.
data_root = 'data/faces_webface_112x112/'
# ratio=1: HR. The LR experiments change the ratio, the distilled ones also keep the HR image beside the LR one.
# The flip comes first, as in the authors' code, whose LR recipe is not symmetric.
train_pipeline = [
    dict(type='LoadPicture'),
    dict(type='ResizeToHR', size=112),
    dict(type='RandomMirror', prob=0.5),
    dict(type='LowResolution', ratio=1, keep_hr=False, vary=True, transforms=[dict(type='PackInputs')]),
]
test_pipeline = [
    dict(type='LoadPicture'),
    dict(type='ResizeToHR', size=112),
    dict(type='LowResolution', ratio=1, vary=False, transforms=[dict(type='PackInputs')]),
]
train_dataloader = dict(
    batch_size=128,
    num_workers=8,
    persistent_workers=False,  # EpochSeedHook seeds them anew at every epoch
    worker_init_fn=dict(type='seed_worker'),
    # All pictures have one size: a batch crosses from its worker as one tensor.
    collate_fn=dict(type='default_collate'),
    pin_memory=True,
    drop_last=True,  # a last batch of one picture has no batch statistics
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(type='FaceRecordDataset', data_root=data_root, ann_file='train.rec', pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=128,
    num_workers=4,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='PairBundleDataset', data_root=data_root, ann_file='agedb_30.bin', pipeline=test_pipeline),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='VerificationMetric')
test_evaluator = val_evaluator
