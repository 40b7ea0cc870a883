# HR on class folders of one's own, as `askd split identities` makes them in data/people/: {train,verify}/<person>/ and
# pairs.txt.
# The number of persons to train on is a setting: model.head.num_classes.
_base_ = './arcface_ir50-cbam_casia.py'
data_root = 'data/people/'
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='FaceFolderDataset',
        data_root=data_root,
        data_prefix='train',
        pipeline=_base_.train_dataloader.dataset.pipeline,
    )
)
val_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='PairListDataset',
        data_root=data_root,
        ann_file='pairs.txt',
        pipeline=_base_.val_dataloader.dataset.pipeline,
    )
)
test_dataloader = val_dataloader
