"""Distillation of detectors that are not ours: real steps of MMDetection's RetinaNet and Faster R-CNN, shrunk."""

import logging

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.hub import get_config
from mmengine.registry import RUNNERS

import askd_mmdet.detection  # noqa: F401, for CBAMResNet
from askd_mmdet.distillation import DistillationHook
from tests.own_model import CBAM, TRAIN, detector
from tests.toy_run import train

pytestmark = pytest.mark.usefixtures('unformatted_configs')
LR = dict(type='LowResolutionHook', ratio=4)
FEATURES = dict(loss_features=dict(type='FeatureSimilarityLoss', tap='backbone.layer?', weight=1.0))


@pytest.fixture(scope='module')
def teacher(coco, tmp_path_factory):
    """Makes an untrained HR teacher of a config: what a DistillationHook needs of it."""

    def make(**backbone):
        cfg = detector(coco, tmp_path_factory.mktemp('teacher'), **backbone)
        cfg.model.data_preprocessor.pad_size_divisor = 32
        runner = RUNNERS.build(cfg)
        path = f'{cfg.work_dir}/teacher.pth'
        torch.save(runner.model.state_dict(), path)
        return dict(teacher=dict(model=cfg.model, default_scope='mmdet'), checkpoint=path)

    return make


@pytest.fixture(scope='module')
def plain(teacher):
    return teacher()


def distilled(teacher, losses=FEATURES, **settings):
    return dict(type='DistillationHook', losses=losses, **teacher, **settings)


def expect(cfg, message):
    with pytest.raises(ValueError, match=message):
        train(cfg)


def test_two_hooks_make_a_student_of_a_resnet_18_with_cbam(coco, teacher, tmp_path):
    losses = dict(loss_attention=dict(type='AttentionSimilarityLoss', weight=5.0))
    hooks = [LR, distilled(teacher(**CBAM), losses)]
    runner, steps = train(detector(coco, tmp_path, hooks, **CBAM))
    hook = next(hook for hook in runner.hooks if isinstance(hook, DistillationHook))
    # Eight blocks of two 3x3 convolutions.
    assert hook.counts == {'loss_attention.channel': 16, 'loss_attention.spatial': 16}
    for step in steps:
        assert step['loss_attention'] > 0
        assert step['loss'] == pytest.approx(sum(step.values()) - step['loss'], rel=1e-5)
    base, base_steps = train(detector(coco, tmp_path, [LR], **CBAM))
    assert steps[0]['loss_cls'] == base_steps[0]['loss_cls']
    learnt = base.model.state_dict()
    assert any(not torch.equal(value, learnt[name]) for name, value in runner.model.state_dict().items())


def test_a_shape_that_differs_is_told_with_loss_tap_and_module(coco, teacher, tmp_path):
    narrow = detector(coco, tmp_path, [LR, distilled(teacher())])
    narrow.model.backbone.base_channels = 4
    narrow.model.neck.in_channels = [4, 8, 16, 32]
    expect(
        narrow,
        r"^loss_features cannot compare what the tap features='backbone\.layer\?' sees: backbone\.layer1 puts out "
        r'\(2, 4, 16, 16\) in the student and \(2, 8, 16, 16\) in the teacher',
    )


@pytest.mark.parametrize(
    'tap, runs',
    [
        ('backbone.layer?', True),
        ('backbone.layer2.?', True),
        ('backbone.layer2.0.conv2', False),
        ('backbone.layer1.0.conv2', True),  # not recomputed, since the stem before it is frozen
    ],
)
def test_activation_checkpointing_is_refused_only_inside_what_is_recomputed(coco, plain, tmp_path, tap, runs):
    losses = dict(loss_features=dict(type='FeatureLoss', tap=tap, weight=10.0))
    hooks = [LR, distilled(plain, losses)]
    checkpointed = detector(coco, tmp_path / 'cp', hooks, with_cp=True)
    if not runs:
        expect(checkpointed, "the student recomputes 'backbone.layer2.0.conv2' in the backward pass.*with_cp=False")
        return
    _, steps = train(detector(coco, tmp_path / 'plain', hooks))
    _, recomputed = train(checkpointed)
    # The second step stands on the gradients of the first.
    assert len(steps) == len(recomputed) == 2
    for step, other in zip(steps, recomputed):
        assert step['loss_features'] > 0 and other == pytest.approx(step, rel=1e-5)


SWITCHES = {
    'pipeline': (
        dict(type='PipelineSwitchHook', switch_epoch=280, switch_pipeline=TRAIN),
        r'PipelineSwitchHook would bring a training pipeline without LowResolution\(keep_hr=True\)',
    ),
    'unpaired': (
        dict(
            type='PipelineSwitchHook',
            switch_epoch=280,
            switch_pipeline=[*TRAIN[:2], dict(type='LowResolution', ratio=4, transforms=TRAIN[2:])],
        ),
        r'PipelineSwitchHook would bring a training pipeline without LowResolution\(keep_hr=True\)',
    ),
    'yolox': (dict(type='YOLOXModeSwitchHook'), r"would close \['MixUp', 'Mosaic', 'RandomAffine'\] by name"),
    'recipe': (
        dict(type='mmpretrain.SwitchRecipeHook', schedule=[dict(action_epoch=280, train_pipeline=TRAIN)]),
        'SwitchRecipeHook would bring a training pipeline without',
    ),
    'augments': (
        dict(
            type='mmpretrain.SwitchRecipeHook',
            schedule=[dict(action_epoch=280, batch_augments=dict(augments=dict(type='Mixup', alpha=0.8)))],
        ),
        'batch augmentations.*SwitchRecipeHook.*break the HR-LR pairs',
    ),
}


@pytest.mark.parametrize('kind', SWITCHES)
@pytest.mark.parametrize('by_hand', [False, True])
def test_a_later_switch_is_refused_before_the_first_step(coco, plain, tmp_path, kind, by_hand):
    """Also where the pipeline is written by hand."""
    switch, message = SWITCHES[kind]
    cfg = detector(coco, tmp_path, [distilled(plain), switch, *([] if by_hand else [LR])])
    if by_hand:
        step = dict(type='LowResolution', ratio=4, keep_hr=True, transforms=TRAIN[2:])
        cfg.train_dataloader.dataset.pipeline = [*TRAIN[:2], step]
    expect(cfg, message)


@pytest.mark.parametrize('degraded', [None, 'by-hand', 'by-hook', 'ratio-1'])
def test_a_student_that_is_validated_on_hr_pictures_is_told_so(coco, plain, tmp_path, degraded):
    cfg = detector(coco, tmp_path, [distilled(plain)])
    if degraded == 'by-hook':
        cfg.custom_hooks.append(LR)
    else:
        inner = dict(type='LowResolution', ratio=4, keep_hr=True, transforms=TRAIN[2:])
        cfg.train_dataloader.dataset.pipeline = [*TRAIN[:2], inner]
        if degraded:
            stock = cfg.val_dataloader.dataset.pipeline
            ratio = 1 if degraded == 'ratio-1' else 4
            cfg.val_dataloader.dataset.pipeline = [
                stock[0],
                dict(type='LowResolution', ratio=ratio, transforms=stock[1:]),
            ]
    warnings = []

    class Listen(Hook):
        priority = 'VERY_HIGH'

        def before_train(self, runner):
            runner.logger.addHandler(handler := logging.Handler(logging.WARNING))
            handler.emit = lambda record: warnings.append(record.getMessage())

    runner = RUNNERS.build(cfg)
    runner.register_hook(Listen())
    runner.train()
    told = [warning for warning in warnings if 'validated on pictures as they are' in warning]
    assert len(told) == (degraded in (None, 'ratio-1'))
    assert all('dict(type="LowResolutionHook", ratio=...)' in warning for warning in told)


def test_a_pipeline_without_pairs_names_the_hook_that_makes_them(coco, plain, tmp_path):
    expect(detector(coco, tmp_path, [distilled(plain)]), r'no HR images.*add dict\(type="LowResolutionHook", ratio')


@pytest.mark.parametrize('tap', ['rpn_head.rpn_conv', 'roi_head.bbox_head.fc_cls'])
def test_heads_that_need_proposals_cannot_be_tapped(coco, tmp_path, tap):
    cfg = detector(coco, tmp_path)
    cfg.model = get_config('mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py').model
    cfg.model.backbone.update(base_channels=8, init_cfg=None)
    cfg.model.neck.in_channels = [32, 64, 128, 256]
    cfg.model.roi_head.bbox_head.num_classes = 1
    torch.save(RUNNERS.build(cfg).model.state_dict(), tmp_path / 'teacher.pth')
    losses = dict(loss_head=dict(type='FeatureLoss', tap=tap))
    hook = distilled(dict(teacher=cfg.to_dict(), checkpoint=str(tmp_path / 'teacher.pth')), losses)
    cfg.custom_hooks = [LR, hook]
    expect(cfg, r"does not get as far as its taps \['loss_head.features'\].*RPN, RoI.*tap the backbone or the neck")


def test_a_loss_called_like_the_total_is_refused():
    with pytest.raises(ValueError, match="cannot be called 'loss', as the total is"):
        DistillationHook('teacher.py', 'teacher.pth', dict(loss=dict(type='LogitLoss', tap='head.fc')))
