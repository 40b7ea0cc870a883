"""The experiments of table 4 and on CIFAR-10: what they state, and where they differ."""

import pytest
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope

from askd_mmdet.attention import CBAM
from tests.toy_run import ROOT, types

KD = dict(type='LogitLoss', tap='head.fc', weight=1.0)
ASKD = dict(type='AttentionSimilarityLoss', weight=5.0)
METHODS = {
    '': None,
    '_kd': dict(loss_logit=KD),
    '_at-kd': dict(loss_logit=KD, loss_attention=dict(type='AttentionTransferLoss', weight=1000.0)),
    '_rkd-kd': dict(loss_logit=KD, loss_relation=dict(type='RelationLoss', distances=25.0, angles=50.0, weight=1.0)),
    '_dist': dict(loss_relation=dict(type='ClassRelationLoss', between=2.0, within=2.0)),
    '_askd': dict(loss_attention=ASKD),
    '_askd-kd': dict(loss_logit=KD, loss_attention=ASKD),
}
NETWORKS = 'resnet18-cbam_imagenet', 'resnet50-cbam_imagenet', 'resnet18-cbam_cifar10'
EXPERIMENTS = [(network, method) for network in NETWORKS for method in METHODS]


def load(name):
    return Config.fromfile(ROOT / f'configs/classification/{name}.py')


def test_there_are_these_and_no_others():
    names = {path.stem for path in (ROOT / 'configs/classification').glob('*.py')}
    assert names == {hr for hr, _ in EXPERIMENTS} | {f'{hr}-4x{method}' for hr, method in EXPERIMENTS}


@pytest.mark.parametrize('hr, method', EXPERIMENTS)
def test_an_experiment_differs_from_its_hr_in_resolution_and_distillation_only(hr, method):
    cfg, original = load(f'{hr}-4x{method}'), load(hr)
    for split in ('train', 'val', 'test'):
        step = cfg[f'{split}_dataloader'].dataset.pipeline[-1]
        assert (step.type, step.ratio) == ('LowResolution', 4)
        step.ratio = 1
    assert cfg.train_dataloader.dataset.pipeline[-1].keep_hr == bool(method)
    cfg.train_dataloader.dataset.pipeline[-1].keep_hr = False
    if method:
        hook = cfg.custom_hooks.pop()
        if method == '_dist' and 'cifar10' in hr:
            assert hook.losses.loss_relation.pop('temperature') == 4
        assert hook.losses == METHODS[method]
        assert hook.teacher == f'askd_mmdet::classification/{hr}.py'
        assert hook.checkpoint == f'work_dirs/{hr}/epoch_{cfg.train_cfg.max_epochs}.pth'
    assert cfg.to_dict() == original.to_dict()


@pytest.mark.parametrize('hr, blocks', [('resnet18-cbam_imagenet', 16), ('resnet50-cbam_imagenet', 16)])
def test_cbam_follows_every_3x3_convolution_but_the_stems(hr, blocks):
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(load(hr).model)
    assert sum(isinstance(module, CBAM) for module in model.modules()) == blocks
    assert model.head.fc.out_features == 1000


def test_the_toy_runs_the_same_classes_as_imagenet():
    toy, real = Config.fromfile(ROOT / 'configs/toy/resnet18-cbam_toy.py'), load('resnet18-cbam_imagenet')
    for part in ('model', 'train_dataloader', 'test_dataloader', 'test_evaluator', 'custom_hooks', 'optim_wrapper'):
        assert list(types(toy[part])) == list(types(real[part])), part
