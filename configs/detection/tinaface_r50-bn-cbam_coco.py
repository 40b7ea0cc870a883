# HR on faces of one's own in COCO's format: data/coco_faces/{train,val}/, train.json and val.json with one category.
_base_ = './tinaface_r50-bn-cbam_widerface.py'
data_root = 'data/coco_faces/'
_faces = dict(_delete_=True, type='CocoFaceDataset', data_root=data_root, metainfo=dict(classes=['face']))
train_dataloader = dict(
    dataset=dict(
        **_faces,
        ann_file='train.json',
        data_prefix=dict(img='train/'),
        filter_cfg=dict(filter_empty_gt=True),
        pipeline=_base_.train_dataloader.dataset.pipeline,
    )
)
val_dataloader = dict(
    dataset=dict(
        **_faces,
        ann_file='val.json',
        data_prefix=dict(img='val/'),
        test_mode=True,
        pipeline=_base_.val_dataloader.dataset.pipeline,
    )
)
test_dataloader = val_dataloader
del _faces
val_evaluator = dict(_delete_=True, type='CocoMetric', ann_file=f'{data_root}val.json', metric='bbox')
test_evaluator = val_evaluator
default_hooks = dict(checkpoint=dict(save_best='coco/bbox_mAP_50'))
