"""Models of the libraries, shrunk until a step takes a moment."""

from mmengine.hub import get_config

TRAIN = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='Resize', scale=(64, 64), keep_ratio=True),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
CBAM = dict(type='CBAMResNet', cbam=dict(type='CBAM', reduction=4))


def _of_coco(coco):
    """Settings that put one of MMDetection's configs on the tiny COCO, by dotted name."""
    settings = {'val_evaluator.ann_file': f'{coco}/annotations.json'}
    for split in ('train', 'val'):
        settings[f'{split}_dataloader.num_workers'] = 0
        settings[f'{split}_dataloader.persistent_workers'] = False
        settings[f'{split}_dataloader.dataset.data_root'] = f'{coco}/'
        settings[f'{split}_dataloader.dataset.ann_file'] = 'annotations.json'
        settings[f'{split}_dataloader.dataset.data_prefix.img'] = ''
        settings[f'{split}_dataloader.dataset.metainfo.classes'] = ['person']
    return {
        **settings,
        'train_dataloader.dataset.pipeline.2.scale': (96, 96),
        'val_dataloader.dataset.pipeline.1.scale': (96, 96),
    }


def small_faster_rcnn(coco):
    """An eighth of the width or less, few proposals, and the tiny COCO, for `--cfg-options`."""
    return {
        **_of_coco(coco),
        'model.backbone.base_channels': 8,
        'model.backbone.init_cfg': None,
        'model.backbone.plugins.0.cfg.reduction': 4,
        'model.neck.in_channels': [32, 64, 128, 256],
        'model.neck.out_channels': 16,
        'model.rpn_head.in_channels': 16,
        'model.rpn_head.feat_channels': 16,
        'model.roi_head.bbox_roi_extractor.out_channels': 16,
        'model.roi_head.bbox_head.in_channels': 16,
        'model.roi_head.bbox_head.fc_out_channels': 16,
        'model.roi_head.bbox_head.num_classes': 1,
        'model.train_cfg.rpn_proposal.nms_pre': 50,
        'model.train_cfg.rpn_proposal.max_per_img': 20,
        'model.test_cfg.rpn.nms_pre': 50,
        'model.test_cfg.rpn.max_per_img': 20,
        'model.test_cfg.rcnn.score_thr': 0,
    }


def small_retinanet(coco):
    """The same for RetinaNet with ResNet-18."""
    return {
        **_of_coco(coco),
        'model.backbone.base_channels': 8,
        'model.backbone.init_cfg': None,
        'model.neck.in_channels': [8, 16, 32, 64],
        'model.neck.out_channels': 16,
        'model.bbox_head.in_channels': 16,
        'model.bbox_head.feat_channels': 16,
        'model.bbox_head.stacked_convs': 1,
        'model.bbox_head.num_classes': 1,
        'model.test_cfg.nms_pre': 50,
    }


def small_classifier(imagenet, channels):
    """The same for one of MMPretrain's ResNets on the tiny ImageNet; `channels` are those of its last stage."""
    settings = {
        'model.backbone.base_channels': 8,
        'model.backbone.stem_channels': 8,
        'model.head.num_classes': 2,
        'model.head.in_channels': channels,
        'data_preprocessor.num_classes': 2,
        'train_dataloader.dataset.pipeline.1.scale': 64,
        'val_dataloader.dataset.pipeline.1.scale': 80,
        'val_dataloader.dataset.pipeline.2.crop_size': 64,
        'val_evaluator.topk': (1,),
    }
    for split in ('train', 'val'):
        settings[f'{split}_dataloader.num_workers'] = 0
        settings[f'{split}_dataloader.batch_size'] = 4
        settings[f'{split}_dataloader.dataset.data_root'] = str(imagenet)
        settings[f'{split}_dataloader.dataset.metainfo.classes'] = ['a', 'b']
    return settings


def detector(coco, work_dir, hooks=(), **backbone):
    """RetinaNet for one epoch of two steps."""
    cfg = get_config('mmdet::retinanet/retinanet_r18_fpn_1x_coco.py')
    cfg.merge_from_dict(small_retinanet(coco))
    cfg.model.backbone.update(frozen_stages=0, **backbone)
    cfg.train_dataloader.dataset.pipeline = TRAIN
    cfg.train_cfg.update(max_epochs=1, val_begin=2)
    cfg.update(custom_hooks=list(hooks), work_dir=str(work_dir), log_level='WARNING', runner_type='SafeRunner')
    cfg.randomness = dict(seed=0)
    return cfg
