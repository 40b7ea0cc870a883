"""A library's detector, shrunk until a step takes a moment: RetinaNet with ResNet-18 of MMDetection."""

from mmengine.hub import get_config

TRAIN = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='Resize', scale=(64, 64), keep_ratio=True),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
CBAM = dict(type='CBAMResNet', cbam=dict(type='CBAM', reduction=4))


def detector(coco, work_dir, hooks=(), **backbone):
    """The library's config on four pictures, for one epoch of two steps."""
    cfg = get_config('mmdet::retinanet/retinanet_r18_fpn_1x_coco.py')
    cfg.model.backbone.update(base_channels=8, init_cfg=None, frozen_stages=0, **backbone)
    cfg.model.neck.update(in_channels=[8, 16, 32, 64], out_channels=16)
    cfg.model.bbox_head.update(in_channels=16, feat_channels=16, stacked_convs=1, num_classes=1)
    cfg.model.test_cfg.nms_pre = 50
    for split in ('train', 'val', 'test'):
        loader = cfg[f'{split}_dataloader']
        loader.update(num_workers=0, persistent_workers=False)
        loader.dataset.update(data_root=f'{coco}/', ann_file='annotations.json', data_prefix=dict(img=''))
        loader.dataset.metainfo = dict(classes=['person'])
    cfg.train_dataloader.dataset.pipeline = TRAIN
    cfg.val_evaluator.ann_file = cfg.test_evaluator.ann_file = f'{coco}/annotations.json'
    cfg.train_cfg.update(max_epochs=1, val_begin=2)
    cfg.update(custom_hooks=list(hooks), work_dir=str(work_dir), log_level='WARNING', runner_type='SafeRunner')
    cfg.randomness = dict(seed=0)
    return cfg
