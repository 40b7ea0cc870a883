"""The experiments of table 5, three rivals and their shrunk siblings: what they state, and where they differ."""

import math
from pathlib import Path

import pytest
import torch
from mmcv.cnn import ConvModule
from mmdet.models import ResNet
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, PARAM_SCHEDULERS, DefaultScope
from mmengine.structures import InstanceData

from askd_mmdet.attention import CBAM
from askd_mmdet.training.config import find_config
from tests.toy_run import ASKD, BASE, HR, ROOT, types

VARIANTS = ('bn', 'gn-dcn')
RIVALS = ('cwd', 'mgd', 'pkd')
EXPERIMENTS = [(v, s) for v in VARIANTS for s in ('', '-16x', '-16x_askd', '-32x', '-32x_askd')]
EXPERIMENTS += [('bn', f'-16x_{rival}') for rival in RIVALS]

MANY = '-1x2x4x8x16x'

SMALL = ('', '-4x', '-4x_askd')


def losses(method, levels, channels):
    """Of a method, on an FPN of so many levels and channels."""
    return {
        'askd': dict(loss_attention=dict(type='AttentionSimilarityLoss', weight=5.0)),
        'cwd': dict(loss_feature=dict(type='ChannelWiseLoss', tap='neck.0', weight=5.0)),
        'pkd': dict(loss_feature=dict(type='NormalisedFeatureLoss', tap='neck.0', weight=10.0)),
        'mgd': dict(
            loss_feature=dict(
                type='MaskedGenerationLoss', tap='neck.0', channels=[channels] * levels, ratio=0.65, weight=2e-5
            )
        ),
    }[method]


def load(variant, setting=''):
    return Config.fromfile(ROOT / f'configs/detection/tinaface_r50-{variant}-cbam_widerface{setting}.py')


def build(cfg):
    with DefaultScope.overwrite_default_scope('mmdet'):
        return MODELS.build(cfg.model)


def test_there_are_these_and_no_others():
    names = {path.stem for path in (ROOT / 'configs/detection').glob('*.py')}
    without_cbam = {f'tinaface_r50-{v}_widerface' for v in VARIANTS}
    many = {f'tinaface_r50-{v}-cbam_widerface{MANY}{s}' for v in VARIANTS for s in ('', '_askd')}
    own = {f'tinaface_r50-bn-cbam_coco{s}' for s in SMALL}
    assert names == {f'tinaface_r50-{v}-cbam_widerface{s}' for v, s in EXPERIMENTS} | without_cbam | many | own


@pytest.mark.parametrize('variant', VARIANTS)
@pytest.mark.parametrize('suffix', ['', '_askd'])
def test_one_detector_may_see_many_resolutions(variant, suffix):
    cfg, one = load(variant, f'{MANY}{suffix}'), load(variant, f'-16x{suffix}')
    step = cfg.train_dataloader.dataset.pipeline[-1]
    assert step.ratio == [1, 2, 4, 8, 16]
    step.ratio = 16
    assert cfg.to_dict() == one.to_dict()


@pytest.mark.parametrize('variant, setting', EXPERIMENTS)
def test_an_experiment_differs_from_its_hr_in_ratio_and_distillation_only(variant, setting):
    cfg, hr = load(variant, setting), load(variant)
    ratio = int(setting.split('x')[0].lstrip('-') or 1)
    method = setting.partition('_')[2]
    for split in ('train', 'val', 'test'):
        step = cfg[f'{split}_dataloader'].dataset.pipeline[-1]
        assert (step.type, step.ratio) == ('LowResolution', ratio)
        step.ratio = 1
    assert cfg.train_dataloader.dataset.pipeline[-1].keep_hr == bool(method)
    cfg.train_dataloader.dataset.pipeline[-1].keep_hr = False
    if method:
        hook = cfg.custom_hooks.pop()
        assert hook.losses == losses(method, levels=6, channels=256)
        assert hook.teacher == f'askd_mmdet::detection/tinaface_r50-{variant}-cbam_widerface.py'
        assert find_config(hook.teacher).is_file()
        assert hook.checkpoint == f'work_dirs/tinaface_r50-{variant}-cbam_widerface/epoch_630.pth'
        assert hook.checkpoint.endswith(f'epoch_{cfg.train_cfg.max_epochs}.pth')
    assert cfg.to_dict() == hr.to_dict()


@pytest.mark.parametrize(
    'name, setting',
    [
        *(('small/tinaface_r50-bn-cbam_masks', s) for s in [*SMALL[1:], *(f'-4x_{rival}' for rival in RIVALS)]),
        *(('detection/tinaface_r50-bn-cbam_coco', s) for s in SMALL[1:]),
    ],
)
def test_an_experiment_on_other_data_differs_from_its_hr_in_ratio_and_distillation_only(name, setting):
    cfg, hr = (Config.fromfile(ROOT / f'configs/{name}{s}.py') for s in (setting, ''))
    for split in ('train', 'val', 'test'):
        step = cfg[f'{split}_dataloader'].dataset.pipeline[-1]
        assert step.ratio == 4
        step.ratio = 1
    if method := setting.partition('_')[2]:
        cfg.train_dataloader.dataset.pipeline[-1].keep_hr = False
        hook = cfg.custom_hooks.pop()
        assert hook.losses == losses(method, levels=4, channels=64)
        assert Config.fromfile(find_config(hook.teacher)).to_dict() == hr.to_dict()
        assert hook.checkpoint == f'work_dirs/{Path(name).name}/epoch_{hr.train_cfg.max_epochs}.pth'
    assert cfg.to_dict() == hr.to_dict()
    assert sum(hr.param_scheduler[0].periods) == hr.train_cfg.max_epochs


def test_faces_of_ones_own_are_trained_as_those_of_wider_face():
    """But for the data, and what judges them."""
    own, wider = Config.fromfile(ROOT / 'configs/detection/tinaface_r50-bn-cbam_coco.py'), load('bn')
    for split in ('train', 'val', 'test'):
        datasets = [cfg[f'{split}_dataloader'].pop('dataset') for cfg in (own, wider)]
        assert datasets[0].pipeline == datasets[1].pipeline and datasets[0].type == 'CocoFaceDataset'
        assert datasets[0].get('test_mode', False) == (split != 'train')
    for cfg in (own, wider):
        assert cfg.pop('val_evaluator') == cfg.pop('test_evaluator')
        cfg.pop('data_root')
        cfg.default_hooks.checkpoint.pop('save_best')
    assert own.to_dict() == wider.to_dict()


@pytest.mark.parametrize('variant', VARIANTS)
def test_the_network_to_import_differs_from_the_experiments_in_cbam_only(variant):
    plain = Config.fromfile(ROOT / f'configs/detection/tinaface_r50-{variant}_widerface.py')
    with_cbam = load(variant)
    assert plain.model.backbone.plugins is None and with_cbam.model.backbone.plugins
    plain.model.backbone.plugins = with_cbam.model.backbone.plugins
    assert plain.to_dict() == with_cbam.to_dict()


@pytest.mark.parametrize('variant', VARIANTS)
def test_the_network_is_tinaface_with_cbam_after_every_3x3_convolution_of_the_backbone(variant):
    model = build(load(variant))
    backbone = model.backbone
    assert isinstance(backbone, ResNet) and sum(isinstance(m, CBAM) for m in backbone.modules()) == 16
    norms = {type(m) for m in model.modules() if isinstance(m, (torch.nn.BatchNorm2d, torch.nn.GroupNorm))}
    assert norms == {torch.nn.BatchNorm2d if variant == 'bn' else torch.nn.GroupNorm}
    deformable = [name for name, m in model.named_modules() if type(m).__name__ == 'TorchvisionDCN']
    assert len(deformable) == (0 if variant == 'bn' else 9)
    assert all(name.startswith(('backbone.layer3', 'backbone.layer4')) for name in deformable)
    assert not backbone.norm_eval and backbone.frozen_stages == -1
    head = model.bbox_head
    assert len(head.cls_convs) == len(head.reg_convs) == 4
    assert all(isinstance(m, ConvModule) and m.norm is not None for m in [*head.cls_convs, *head.reg_convs])
    assert head.prior_generator.num_base_priors == [3] * 6 and head.prior_generator.strides[0] == (4, 4)


def test_the_variant_with_group_norm_and_deformable_convolutions_trains():
    model = build(load('gn-dcn'))
    sample = DetDataSample(metainfo=dict(img_shape=(128, 128)))
    boxes, labels = torch.tensor([[20.0, 20, 60, 70]]), torch.zeros(1, dtype=torch.long)
    sample.gt_instances = InstanceData(bboxes=boxes, labels=labels)
    data = dict(inputs=[torch.randint(0, 256, (3, 128, 128), dtype=torch.uint8)], data_samples=[sample])
    losses = model(**model.data_preprocessor(data, True), mode='loss')
    total, _ = model.parse_losses(losses)
    total.backward()
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients.values())
    assert gradients['backbone.layer3.1.conv2.conv_offset.weight'].shape == (18, 256, 3, 3)


def test_the_learning_rate_is_vedadets():
    """A cosine of the epoch from the full rate down to a hundredth, times a line over the first 500 iterations."""
    cfg = load('bn')
    optimiser = build_optim_wrapper(torch.nn.Linear(1, 1), cfg.optim_wrapper)
    schedulers = [PARAM_SCHEDULERS.build(s, default_args=dict(optimizer=optimiser)) for s in cfg.param_scheduler]
    iterations = 1073  # of an epoch: 12,880 images in batches of 12
    found, expected = [], []
    for epoch in range(61):
        for iteration in range(iterations):
            found.append(optimiser.get_lr()['lr'][0])
            warm_up = min(0.1 + 0.9 * (epoch * iterations + iteration) / 500, 1)
            expected.append(3.75e-3 * warm_up * (0.01 + 0.99 * (1 + math.cos(math.pi * (epoch % 30) / 30)) / 2))
            optimiser.optimizer.step()
            for scheduler in schedulers:
                if not scheduler.by_epoch:
                    scheduler.step()
        for scheduler in schedulers:
            if scheduler.by_epoch:
                scheduler.step()
    assert found == pytest.approx(expected, rel=1e-6)
    assert sum(cfg.param_scheduler[0].periods) == cfg.train_cfg.max_epochs == 630


@pytest.mark.parametrize('small', [(HR, BASE, ASKD), tuple(f'../small/tinaface_r50-bn-cbam_masks{s}' for s in SMALL)])
def test_the_toy_runs_the_same_classes_as_the_real_experiments(small):
    for name, setting in zip(small, ('', '-16x', '-16x_askd')):
        cfg, real = Config.fromfile(ROOT / f'configs/toy/{name}.py'), load('bn', setting)
        for part in ('model', 'train_dataloader', 'test_dataloader', 'test_evaluator', 'custom_hooks', 'train_cfg'):
            toy_types, real_types = list(types(cfg[part])), list(types(real[part]))
            if part == 'model':  # the weights of ImageNet are all that is left out
                real_types.remove('Pretrained')
            assert toy_types == real_types, part


@pytest.mark.parametrize('hr, lr', [('toy/tinaface_r50-bn-cbam_toy', '-4x'), ('small/arcface_ir18-cbam_faces', '-6px')])
def test_a_control_differs_from_what_it_controls_in_the_teacher_alone(hr, lr):
    teacher, untrained, student, mismatched = (
        Config.fromfile(ROOT / f'configs/{hr}{ending}.py')
        for ending in ('', '-untrained', f'{lr}_askd', f'{lr}_askd-mismatched')
    )
    assert mismatched.custom_hooks.pop() == dict(type='MismatchedTeacherHook')
    assert mismatched.to_dict() == student.to_dict()
    assert (untrained.optim_wrapper.optimizer.lr, untrained.train_cfg.max_epochs) == (0, 1)
    untrained.optim_wrapper.optimizer.lr = teacher.optim_wrapper.optimizer.lr
    untrained.train_cfg.max_epochs = teacher.train_cfg.max_epochs
    assert untrained.to_dict() == teacher.to_dict()
