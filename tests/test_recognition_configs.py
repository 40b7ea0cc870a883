"""The experiments of tables 1 to 3 and their shrunk siblings: what they state, and where they differ."""

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.registry import MODELS, DefaultScope
from mmengine.runner import Runner
from PIL import Image
from scipy import ndimage
from skimage import data

from askd_mmdet.attention import CBAM
from tests.toy_run import ROOT, types

TEACHER = 'arcface_ir50-cbam_casia'
ROWS = {'2x': 2, '4x': 4, '8x': 8, '24px': None}
ASKD = dict(type='AttentionSimilarityLoss', weight=5.0)
KD = dict(type='LogitLoss', tap='head.norm_product', scale=32.0, weight=1.0)
METHODS = {
    'fkd': dict(loss_feature=dict(type='FeatureLoss', weight=1.0)),
    'at': dict(loss_attention=dict(type='AttentionTransferLoss', weight=1000.0)),
    'at-cosine': dict(loss_attention=dict(type='AttentionTransferLoss', distance='cosine', weight=5.0)),
    'horkd': dict(loss_relation=dict(type='HybridOrderRelationLoss', orders=(1.0, 20.0, 25.0), weight=1.0)),
    'kd': dict(loss_logit=KD),
    'fskd': dict(loss_feature=dict(type='FeatureSimilarityLoss', weight=5.0)),
    'askd-spatial': dict(loss_attention=dict(type='AttentionSimilarityLoss', channel=None, weight=5.0)),
    'askd': dict(loss_attention=ASKD),
    'askd-kd': dict(loss_attention=ASKD, loss_logit=KD),
}
# Of real faces for two cores alone: later methods, with the weights of their papers or of others' detectors.
SMALL_METHODS = {
    **METHODS,
    'cwd': dict(loss_feature=dict(type='ChannelWiseLoss', tap='backbone.layer?', weight=5.0)),
    'pkd': dict(loss_feature=dict(type='NormalisedFeatureLoss', tap='backbone.layer?', weight=10.0)),
    'dist': dict(loss_relation=dict(type='ClassRelationLoss', tap='head.norm_product', scale=32.0)),
}
EXPERIMENTS = [(row, method) for row in ROWS for method in (None, *METHODS)]


def load(setting=''):
    return Config.fromfile(ROOT / f'configs/recognition/{TEACHER}{setting}.py')


def build(cfg):
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return MODELS.build(cfg.model)


def test_there_are_these_and_no_others():
    names = {path.stem.removeprefix(TEACHER) for path in (ROOT / 'configs/recognition').glob(f'{TEACHER}*.py')}
    authors = {f'-{row}-authors{student}' for row in ROWS for student in ('', '_askd')}
    expected = {f'-{row}_{method}' if method else f'-{row}' for row, method in EXPERIMENTS}
    assert names == {'', '-1x2x4x8x', '-1x2x4x8x_askd', '-4x_askd-classifier', *authors, *expected}


@pytest.mark.parametrize('row, method', EXPERIMENTS)
def test_an_experiment_differs_from_its_hr_in_resolution_and_distillation_only(row, method):
    cfg, hr = load(f'-{row}_{method}' if method else f'-{row}'), load()
    steps = {split: cfg[f'{split}_dataloader'].dataset.pipeline[-1] for split in ('train', 'val', 'test')}
    lr = dict(ratio=ROWS[row]) if ROWS[row] else dict(ratio=None, size=24)
    for split, step in steps.items():
        # TinyFace's pictures are small by themselves.
        expected = dict(ratio=1) if row == '24px' and split == 'test' else lr
        assert {key: step[key] for key in ('ratio', 'size') if key in step} == expected
        step.ratio = 1
        step.pop('size', None)
    assert steps['train'].keep_hr == bool(method)
    steps['train'].keep_hr = False
    if method:
        hook = cfg.custom_hooks.pop()
        assert hook.losses == METHODS[method]
        assert hook.teacher == f'askd_mmdet::recognition/{TEACHER}.py'
        assert hook.checkpoint == f'work_dirs/{TEACHER}/epoch_{cfg.train_cfg.max_epochs}.pth'
    if row == '24px':
        assert cfg.test_dataloader.dataset.type == 'TinyFaceDataset'
        assert cfg.test_evaluator == dict(type='IdentificationMetric')
        cfg.test_dataloader, cfg.test_evaluator = hr.test_dataloader, hr.test_evaluator
    assert cfg.to_dict() == hr.to_dict()


@pytest.mark.parametrize('setting', ['', '-4x', '-4x_askd'])
def test_adaface_is_another_head_and_teacher_alone(setting):
    cfg, arcface = Config.fromfile(ROOT / f'configs/recognition/adaface_ir50-cbam_casia{setting}.py'), load(setting)
    assert (cfg.model.head.type, cfg.model.head.scale, cfg.model.head.margins) == ('AdaFaceHead', 64.0, 0.4)
    assert build(Config(cfg.to_dict())).head.concentration == pytest.approx(0.333)
    cfg.model.head = arcface.model.head
    if 'askd' in setting:
        hook = cfg.custom_hooks[-1]
        assert hook.teacher == 'askd_mmdet::recognition/adaface_ir50-cbam_casia.py'
        assert hook.checkpoint == 'work_dirs/adaface_ir50-cbam_casia/epoch_20.pth'
        cfg.custom_hooks[-1] = arcface.custom_hooks[-1]
    assert cfg.to_dict() == arcface.to_dict()


def test_one_student_may_see_many_resolutions():
    for suffix in ('', '_askd'):
        cfg, one = load(f'-1x2x4x8x{suffix}'), load(f'-4x{suffix}')
        assert cfg.train_dataloader.dataset.pipeline[-1].ratio == [1, 2, 4, 8]
        cfg.train_dataloader.dataset.pipeline[-1].ratio = 4
        assert cfg.to_dict() == one.to_dict()


@pytest.mark.parametrize('row', ROWS)
def test_the_authors_recipe_is_a_setting(row):
    cfg, ours = load(f'-{row}-authors'), load(f'-{row}')
    for split in ('train', 'val', 'test'):
        pipeline = cfg[f'{split}_dataloader'].dataset.pipeline
        assert pipeline[0].pop('to_float32') and pipeline[-1].pop('recipe') == 'authors'
        # TinyFace's pictures are not degraded but enlarged, and mirrored last.
        real = (row, split) == ('24px', 'test')
        assert pipeline[1].pop('recipe', 'paper') == ('authors' if real else 'paper')
        assert pipeline[-1].pop('keep_mirrored', False) == (split != 'train' and not real)
    assert cfg.to_dict() == ours.to_dict()


@pytest.mark.parametrize('row', ROWS)
def test_the_authors_experiment_is_their_recipe_and_the_sum_of_both_distances(row):
    cfg, base = load(f'-{row}-authors_askd'), load(f'-{row}-authors')
    assert cfg.train_dataloader.dataset.pipeline[-1].keep_hr
    cfg.train_dataloader.dataset.pipeline[-1].keep_hr = False
    hook, ours = cfg.custom_hooks.pop(), load(f'-{row}_askd').custom_hooks[-1]
    loss = hook.losses.pop('loss_attention')
    assert loss == dict(type='AttentionSimilarityLoss', maps='raw', weight=10.0) and not hook.losses
    del ours.losses
    assert cfg.to_dict() == base.to_dict() and {**hook, 'losses': None} == {**ours, 'losses': None}
    # Theirs: 5 times the sum of all layers' distances, by hand on one map of each kind.
    student, teacher = (dict(channel=[a], spatial=[b]) for a, b in torch.randn(2, 2, 1, 8).unbind())
    distances = [1 - torch.cosine_similarity(student[kind][0], teacher[kind][0]).item() for kind in student]
    assert MODELS.build(loss)(student, teacher).item() == pytest.approx(5 * sum(distances), rel=1e-5)


def faces(config, split, folder):
    """The pictures of a split as they reach the network, (N, 3, 112, 112), where a folder's ones are the data."""
    pipeline = load(config)[f'{split}_dataloader'].dataset.pipeline
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        pipeline = Compose([step for step in pipeline if step.type != 'RandomMirror'])
    return torch.stack([pipeline(dict(img_path=str(path)))['inputs'] for path in sorted(folder.glob('*.png'))]).float()


@pytest.mark.parametrize('recipe', ['', '-authors'])
def test_a_small_face_is_enlarged_as_a_degraded_one_is_in_training(recipe, tmp_path):
    """Faces made small by PIL and SciPy and kept in a file, as TinyFace's, against training's pictures of 24x24."""
    hr, lr = tmp_path / 'hr', tmp_path / 'lr'
    for folder in (hr, lr):
        folder.mkdir()
    for i in range(2):
        face = data.astronaut()[60 + 30 * i : 172 + 30 * i, 170:282]
        if recipe:
            nearest = np.arange(24) * 112 // 24
            small = face[nearest][:, nearest]
        else:
            small = np.asarray(Image.fromarray(face).resize((24, 24), Image.Resampling.BICUBIC), np.float32)
            small = ndimage.gaussian_filter(small, (0.5, 0.5, 0), mode='mirror', radius=(2, 2, 0)).round()
        Image.fromarray(face).save(hr / f'{i}.png')
        Image.fromarray(small.astype(np.uint8)).save(lr / f'{i}.png')
    trained, tested = (faces(f'-24px{recipe}', *of) for of in (('train', hr), ('test', lr)))
    assert (trained - tested).abs().max() <= 2
    untouched = faces(f'-24px{recipe}', 'test', hr)  # a face of the network's size is taken as it is
    assert torch.equal(untouched, faces('', 'train', hr)) and (untouched - trained).abs().max() > 50


def test_the_network_is_the_authors():
    with torch.device('meta'):
        model = build(load())
    assert sum(isinstance(module, CBAM) for module in model.backbone.modules()) == 24
    assert model.head.scale == 32 and model.head.margins.shape == (10572,)
    preprocessor = model.data_preprocessor
    assert not preprocessor.to_rgb


def test_pixels_are_centred_and_keep_the_order_of_their_channels():
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        preprocessor = MODELS.build(load().model.data_preprocessor)
    image = torch.tensor([0, 51, 255], dtype=torch.uint8).reshape(3, 1, 1)
    found = preprocessor(dict(inputs=[image]))['inputs']
    torch.testing.assert_close(found.flatten(), torch.tensor([-1, -0.6, 1]))


class Rates(Hook):
    """Notes the rate of every training step."""

    def __init__(self):
        self.seen = []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.seen.append(runner.optim_wrapper.get_lr()['lr'][0])


class Number(BaseModel):
    """The least that trains."""

    def __init__(self):
        super().__init__()
        self.number = torch.nn.Parameter(torch.ones(()))

    def forward(self, inputs, mode='loss'):
        return dict(loss=self.number**2)


def test_the_rate_falls_in_epochs_6_11_15_and_17(tmp_path):
    """Counted from 1, as the authors' code does, which steps its scheduler before it trains."""
    cfg, rates = load(), Rates()
    Runner(
        model=Number(),
        work_dir=str(tmp_path),
        train_dataloader=torch.utils.data.DataLoader([dict(inputs=0)] * 2),
        train_cfg=dict(by_epoch=True, max_epochs=cfg.train_cfg.max_epochs),
        optim_wrapper=cfg.optim_wrapper,
        param_scheduler=cfg.param_scheduler,
        default_hooks=dict(checkpoint=None, logger=None),
        custom_hooks=[rates],
        default_scope='mmengine',
        log_level='ERROR',
    ).train()
    epochs = [0.1] * 5 + [0.01] * 5 + [0.001] * 4 + [0.0001] * 2 + [0.00001] * 4  # 1-5, 6-10, 11-14, 15-16, 17-20
    assert rates.seen == pytest.approx([rate for rate in epochs for _ in range(2)])


@pytest.mark.parametrize('suffix', ['', '-8x', '-8x_askd'])
def test_the_toy_runs_the_same_classes_as_the_real_experiments(suffix):
    cfg, real = Config.fromfile(ROOT / f'configs/toy/arcface_ir18-cbam_toy{suffix}.py'), load(suffix)
    for part in ('model', 'train_dataloader', 'test_dataloader', 'test_evaluator', 'custom_hooks', 'optim_wrapper'):
        assert list(types(cfg[part])) == list(types(real[part])), part


@pytest.mark.parametrize('method', [None, *(name for name in SMALL_METHODS if name != 'at-cosine')])
def test_a_small_experiment_on_real_faces_differs_from_its_hr_in_resolution_and_distillation_only(method):
    stem = 'arcface_ir18-cbam_faces'
    hr, cfg = (
        Config.fromfile(ROOT / f'configs/small/{stem}{setting}.py')
        for setting in ('', f'-6px_{method}' if method else '-6px')
    )
    for split in ('train', 'val', 'test'):
        step = cfg[f'{split}_dataloader'].dataset.pipeline[-1]
        assert (step.ratio, step.pop('size')) == (None, 6)
        step.ratio = 1
    if method:
        step = cfg.train_dataloader.dataset.pipeline[-1]
        assert step.keep_hr
        step.keep_hr = False
        hook = cfg.custom_hooks.pop()
        assert hook.teacher == f'askd_mmdet::small/{stem}.py'
        assert hook.checkpoint == f'work_dirs/{stem}/epoch_{hr.train_cfg.max_epochs}.pth'
        assert hook.losses == SMALL_METHODS[method]
    assert cfg.to_dict() == hr.to_dict()


def test_the_small_experiments_run_the_same_classes_as_the_real_ones():
    cfg = Config.fromfile(ROOT / 'configs/small/arcface_ir18-cbam_faces-6px_askd.py')
    assert list(types(cfg.model)) == list(types(load('-4x_askd').model))
    assert build(cfg).backbone(torch.zeros(2, 3, 32, 32))[0].shape == (2, 256)
