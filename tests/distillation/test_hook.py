"""The distillation hook in real trainings of the toy detector."""

import copy
import json
import os
import socket
import subprocess
import sys
from collections import defaultdict
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.registry import MODELS, RUNNERS, DefaultScope, Registry
from scipy.spatial.distance import cosine

from askd_mmdet.analysis.runs import Run
from askd_mmdet.attention import ChannelAttention, SpatialAttention
from askd_mmdet.distillation import DistillationHook
from askd_mmdet.experiments.tuning import lambda_of
from askd_mmdet.training import load_weights, read_checkpoint
from askd_mmdet.training.launch import set_teacher
from tests.toy_run import ASKD, BASE, HR, ROOT, distillation, toy_config


@pytest.fixture(scope='module')
def teacher(toy_data, tmp_path_factory):
    """The checkpoint of an HR teacher."""
    work_dir = tmp_path_factory.mktemp('teacher')
    RUNNERS.build(toy_config(HR, toy_data, work_dir)).train()
    return work_dir / 'epoch_2.pth'


@pytest.fixture(scope='module')
def base(toy_data, tmp_path_factory):
    """The weights of an LR base after two epochs."""
    work_dir = tmp_path_factory.mktemp('base')
    RUNNERS.build(toy_config(BASE, toy_data, work_dir)).train()
    return read_checkpoint(work_dir / 'epoch_2.pth')['state_dict']


class Watch(Hook):
    """Keeps what the first step was given, what it gave, and all values of the distillation loss."""

    priority = 'HIGHEST'

    def __init__(self):
        self.losses = []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if not self.losses:
            self.batch = copy.deepcopy(data_batch)
            self.weights = copy.deepcopy(runner.model.state_dict())

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.losses.append({name: value.item() for name, value in outputs.items()})


def train(cfg, *hooks):
    watch = Watch()
    runner = RUNNERS.build(cfg)
    for hook in (watch, *hooks):
        runner.register_hook(hook)
    runner.train()
    return runner, watch


def equal(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize('accumulate', [1, 2])
def test_weight_0_equals_the_plain_run_bit_for_bit(toy_data, teacher, base, tmp_path, accumulate):
    options = {'optim_wrapper.accumulative_counts': accumulate}
    if accumulate > 1:
        runner, _ = train(toy_config(BASE, toy_data, tmp_path / 'base', **options))
        assert not equal(runner.model.state_dict(), base)
        base = runner.model.state_dict()
    cfg = toy_config(ASKD, toy_data, tmp_path, teacher, **options)
    distillation(cfg).losses.loss_attention.weight = 0.0
    runner, watch = train(cfg)
    assert equal(runner.model.state_dict(), base)
    assert watch.losses[0]['loss_attention'] == 0


def attention_maps(model, inputs):
    """Raw maps of every layer, by type, as numpy arrays (N, ...)."""
    maps = {ChannelAttention: [], SpatialAttention: []}
    for module in model.modules():
        if type(module) in maps:
            module.register_forward_hook(lambda module, _, out: maps[type(module)].append(out.double().numpy()))
    with torch.no_grad():
        model(inputs, mode='tensor')
    return maps


def test_the_loss_is_equation_8_on_the_lr_and_hr_images(toy_data, teacher, base, tmp_path):
    cfg = toy_config(ASKD, toy_data, tmp_path, teacher)
    _, watch = train(cfg)

    with DefaultScope.overwrite_default_scope('mmdet'):
        student, hr_network = (MODELS.build(cfg.model) for _ in range(2))
    student.load_state_dict(watch.weights)
    load_weights(hr_network, teacher)
    hr_network.eval()
    hr, lr = watch.batch['hr_inputs'], watch.batch['inputs']
    assert all(h.shape == low.shape and not torch.equal(h, low) for h, low in zip(hr, lr))
    seen = attention_maps(student.train(), student.data_preprocessor(dict(inputs=lr))['inputs'])
    wanted = attention_maps(hr_network, student.data_preprocessor(dict(inputs=hr))['inputs'])
    # A layer whose hidden units are all inactive has a zero map, which is at distance 1 from any other.
    rho = [
        np.mean([np.nan_to_num(cosine(a.ravel(), b.ravel()), nan=1) for a, b in zip(s, t)])
        for kind in seen
        for s, t in zip(seen[kind], wanted[kind], strict=True)
    ]
    assert len(rho) == 32
    assert watch.losses[0]['loss_attention'] == pytest.approx(5 * sum(rho) / 2, rel=1e-4)
    first = watch.losses[0]
    parts = sum(value for name, value in first.items() if name.startswith('loss_'))
    assert first['loss'] == pytest.approx(parts, rel=1e-5)

    # The student alone is saved, loads into the plain config, and differs from the base: the loss did something.
    saved = read_checkpoint(tmp_path / 'epoch_2.pth')['state_dict']
    assert saved.keys() == base.keys() and not equal(saved, base)
    plain = toy_config(BASE, toy_data, tmp_path / 'test')
    plain.load_from = str(tmp_path / 'epoch_2.pth')
    assert set(RUNNERS.build(plain).test()) == {f'wider_face/{subset}' for subset in ('easy', 'medium', 'hard')}


def test_the_teacher_is_frozen_and_seen_no_further_than_its_last_tap(toy_data, teacher, tmp_path):
    cfg = toy_config(ASKD, toy_data, tmp_path, teacher)
    runner = RUNNERS.build(cfg)
    hook = next(hook for hook in runner.hooks if isinstance(hook, DistillationHook))
    calls, before = [], []

    class Spy(Hook):
        priority = 'LOWEST'

        def before_train(self, runner):
            before.append(copy.deepcopy(hook.teacher.model.state_dict()))
            for name in ('backbone.layer4.2.conv2', 'backbone.layer4.2.conv3', 'neck', 'bbox_head'):
                module = hook.teacher.model.get_submodule(name)
                module.register_forward_hook(lambda module, inputs, output, name=name: calls.append(name))

    runner.register_hook(Spy())
    runner.train()
    assert set(calls) == {'backbone.layer4.2.conv2'}
    network = hook.teacher.model
    assert not network.training and not any(p.requires_grad for p in network.parameters())
    assert equal(network.state_dict(), before[0])


def test_an_interrupted_distillation_resumes_bit_for_bit(toy_data, teacher, tmp_path):
    class Interrupt(Hook):
        def after_train_iter(self, runner, **kwargs):
            if runner.iter == 5:
                raise KeyboardInterrupt

    whole, _ = train(toy_config(ASKD, toy_data, tmp_path / 'whole', teacher))
    with pytest.raises(KeyboardInterrupt):
        train(toy_config(ASKD, toy_data, tmp_path / 'cut', teacher), Interrupt())
    resumed, watch = train(toy_config(ASKD, toy_data, tmp_path / 'cut', teacher, resume=True))
    assert len(watch.losses) == 4
    assert equal(resumed.model.state_dict(), whole.model.state_dict())


def test_under_autocast_the_loss_stays_in_float32(toy_data, teacher, tmp_path):
    _, exact = train(toy_config(ASKD, toy_data, tmp_path / 'exact', teacher))
    cfg = toy_config(ASKD, toy_data, tmp_path / 'autocast', teacher, **{'optim_wrapper.type': 'BFloat16OptimWrapper'})
    types = set()

    class Types(Hook):
        def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
            types.add(outputs['loss_attention'].dtype)

    _, rounded = train(cfg, Types())
    assert types == {torch.float32}
    a, b = exact.losses[0]['loss_attention'], rounded.losses[0]['loss_attention']
    assert a != b and b == pytest.approx(a, rel=0.05)
    assert all(np.isfinite(list(step.values())).all() for step in rounded.losses)


def run_tool(config, processes):
    """tools/train.py, or tools/dist_train.sh as in an activated environment."""
    script = [sys.executable, 'tools/train.py', config] if processes == 1 else ['tools/dist_train.sh', config, '2']
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = str(free.getsockname()[1])
    path = f'{Path(sys.executable).parent}{os.pathsep}{os.environ["PATH"]}'
    environment = dict(os.environ, PATH=path, PORT=port)
    done = subprocess.run(script, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]


def test_two_processes_give_the_gradient_of_one_on_the_joint_batch(toy_data, teacher, tmp_path):
    """One step of plain SGD from the same weights: the step is the gradient."""
    settings = dict(
        train_dataloader=dict(num_workers=0, dataset=dict(data_root=str(toy_data), indices=4)),
        optim_wrapper=dict(
            _delete_=True, type='OptimWrapper', optimizer=dict(type='SGD', lr=1.0, momentum=0, weight_decay=0)
        ),
        param_scheduler=None,
        model=dict(backbone=dict(norm_eval=True)),
        val_dataloader=None,
        val_cfg=None,
        val_evaluator=None,
        load_from=str(tmp_path / 'initial.pth'),
        default_hooks=dict(checkpoint=dict(save_best=None)),
        train_cfg=dict(_delete_=True, type='EpochBasedTrainLoop', max_epochs=1),
    )
    steps = []
    for processes in (1, 2):
        work_dir = tmp_path / f'{processes}'
        settings['work_dir'] = str(work_dir)
        settings['train_dataloader']['batch_size'] = 4 // processes
        config = tmp_path / f'step{processes}.py'
        config.write_text(
            f'_base_ = {str(ROOT / f"configs/toy/{ASKD}.py")!r}\n'
            + '\n'.join(f'{key} = {value!r}' for key, value in settings.items())
            + f"""
norm = dict(type='GN', num_groups=4)
_base_.model.neck[0].norm_cfg = norm
_base_.model.neck[1].norm_cfg = norm
_base_.model.bbox_head.norm_cfg = norm
transforms = _base_.train_dataloader.dataset.pipeline[-1].transforms
_base_.train_dataloader.dataset.pipeline[-1].transforms = transforms[3:]
_base_.custom_hooks[-1].update(
    teacher={str(ROOT / f'configs/toy/{HR}.py')!r}, checkpoint={str(teacher)!r}
)
"""
        )
        if processes == 1:
            with DefaultScope.overwrite_default_scope('mmdet'):
                model = MODELS.build(Config.fromfile(config).model)
            model.init_weights()
            before = copy.deepcopy(model.state_dict())
            torch.save(before, tmp_path / 'initial.pth')
        run_tool(config, processes)
        after = read_checkpoint(work_dir / 'epoch_1.pth')['state_dict']
        steps.append({name: after[name].double() - before[name].double() for name in after})
        log = next(work_dir.glob('*/vis_data/*.json')).read_text().splitlines()
        assert json.loads(log[-1])['loss_attention'] > 0
    for name, joint in steps[0].items():
        error = (steps[1][name] - joint).norm()
        assert error <= 1e-4 * joint.norm() + 1e-7, name
    assert sum(joint.norm() for joint in steps[0].values()) > 0.01


def expect(cfg, error, message):
    with pytest.raises(error, match=message):
        RUNNERS.build(cfg).train()


def test_a_pipeline_without_hr_images_is_refused(toy_data, teacher, tmp_path):
    cfg = toy_config(ASKD, toy_data, tmp_path, teacher)
    cfg.train_dataloader.dataset.pipeline[-1].keep_hr = False
    expect(cfg, ValueError, r"no HR images: its keys are \['data_samples', 'inputs'\].*keep_hr=True")


def test_batch_augmentations_are_refused(toy_data, teacher, tmp_path):
    cfg = toy_config(ASKD, toy_data, tmp_path, teacher)
    resize = dict(type='BatchSyncRandomResize', random_size_range=(64, 96))
    cfg.model.data_preprocessor.batch_augments = [resize]
    expect(cfg, ValueError, 'batch augmentations.*break the HR-LR pairs')


def test_a_missing_teacher_is_named(toy_data, tmp_path):
    expect(toy_config(ASKD, toy_data, tmp_path, 'nowhere.pth'), FileNotFoundError, r'no weights at nowhere\.pth')


def test_a_teacher_of_another_architecture_is_refused(toy_data, teacher, tmp_path):
    cfg = toy_config(ASKD, toy_data, tmp_path, teacher)
    distillation(cfg).teacher = str(ROOT / 'configs/detection/tinaface_r50-bn-cbam_widerface.py')
    expect(cfg, ValueError, r'does not fit SingleStageDetector, nothing was loaded.*another shape')


def test_a_teacher_that_lacks_weights_is_refused(toy_data, teacher, tmp_path):
    weights = read_checkpoint(teacher)['state_dict']
    weights.pop('backbone.layer1.0.cbam.spatial_attention.conv.weight')
    torch.save(weights, tmp_path / 'part.pth')
    cfg = toy_config(ASKD, toy_data, tmp_path, tmp_path / 'part.pth')
    expect(cfg, ValueError, r'1 weights missing in the file: backbone\.layer1\.0\.cbam\.spatial')


@pytest.mark.parametrize(
    'pattern, message',
    [
        ('*.chanel', r"loss_attention\.channel='\*\.chanel' matches no module of the student"),
        ('bbox_head.retina_cls', 'do not fire equally often'),
    ],
)
def test_taps_that_do_not_pair_are_refused(toy_data, teacher, tmp_path, pattern, message):
    cfg = toy_config(ASKD, toy_data, tmp_path, teacher)
    distillation(cfg).losses.loss_attention.channel = pattern
    # One level more than the teacher, so the head that all levels share runs once more.
    cfg.model.neck[0].num_outs = 5
    cfg.model.bbox_head.anchor_generator.strides = [4, 8, 16, 32, 64]
    expect(cfg, ValueError, message)


@pytest.mark.parametrize(
    'patterns', [dict(spatial='bbox_head.cls_convs'), dict(channel=None, spatial='bbox_head.cls_convs')]
)
def test_a_tap_on_a_list_of_modules_which_is_never_called_is_refused(toy_data, teacher, tmp_path, patterns):
    cfg = toy_config(ASKD, toy_data, tmp_path, teacher)
    distillation(cfg).losses.loss_attention.update(patterns)
    with pytest.raises(
        ValueError, match=r"spatial='bbox_head.cls_convs' of loss_attention sees nothing: .*cls_convs\.\*"
    ):
        train(cfg)


def test_a_component_may_be_named_with_its_module(toy_data, teacher, tmp_path):
    cfg = toy_config(ASKD, toy_data, tmp_path, teacher)
    hook, step = distillation(cfg), cfg.train_dataloader.dataset.pipeline[2]
    hook.type, step.type = 'askd_mmdet.distillation.DistillationHook', 'askd_mmdet.degradation.LowResolution'
    hook.losses.loss_attention.type = 'askd_mmdet.distillation.AttentionSimilarityLoss'
    set_teacher(cfg, str(teacher), None)
    assert distillation(cfg) is hook and lambda_of(cfg).endswith('loss_attention.weight')
    run = Run(tmp_path, cfg)
    assert (run.method, run.setting) == ('A-SKD', '4x')
    _, watch = train(cfg)
    assert all(losses['loss_attention'] > 0 for losses in watch.losses)


def test_weights_of_a_loss_are_refused_where_there_is_no_one_optimizer():
    hook = DistillationHook('t.py', 't.pth', {'loss_feature': dict(type='MaskedGenerationLoss', channels=[2])})
    weight = torch.nn.Parameter(torch.zeros(1))
    several = OptimWrapperDict(
        a=OptimWrapper(torch.optim.SGD([weight], 0.1)), b=OptimWrapper(torch.optim.SGD([weight], 0.1))
    )
    with pytest.raises(
        ValueError, match=r"the weights of \['loss_feature'\] need an optimizer, and the student has several"
    ):
        hook.before_run(SimpleNamespace(optim_wrapper=several))
    plain = DistillationHook('t.py', 't.pth', dict(loss_attention=dict(type='AttentionSimilarityLoss')))
    plain.before_run(SimpleNamespace(optim_wrapper=several))


def test_a_store_beside_a_url_is_refused():
    with pytest.raises(ValueError, match=r'store=True would put the maps beside https://host/t\.pth; name a folder'):
        DistillationHook(
            't.py', 'https://host/t.pth', dict(loss_attention=dict(type='AttentionSimilarityLoss')), store=True
        )


def test_a_teacher_with_more_layers_is_refused(toy_data, teacher, tmp_path):
    cfg = toy_config(ASKD, toy_data, tmp_path, teacher)
    cfg.model.backbone.plugins[0].stages = (True, True, True, False)
    expect(cfg, ValueError, r"'loss_attention.channel': 13.*but.*'loss_attention.channel': 16")


def test_names_of_losses(toy_data, teacher, tmp_path):
    with pytest.raises(ValueError, match=r"must contain 'loss' to be back-propagated, got \['attention'\]"):
        DistillationHook('teacher.py', 'teacher.pth', dict(attention=dict(type='AttentionSimilarityLoss')))
    cfg = toy_config(ASKD, toy_data, tmp_path, teacher)
    distillation(cfg).losses = dict(loss_cls=dict(type='AttentionSimilarityLoss'))
    expect(cfg, ValueError, r"already has losses named \['loss_cls'\]")


def test_an_unknown_dtype_is_refused():
    with pytest.raises(ValueError, match="dtype must be 'float32', 'bfloat16' or 'float16', got 'int8'"):
        DistillationHook('teacher.py', 'teacher.pth', dict(loss_feature=dict(type='FeatureLoss')), dtype='int8')


def test_no_name_of_ours_hides_one_of_the_libraries():
    """A child registry is searched before the root, so a name that exists in one would never be found."""
    import mmdet.registry
    import mmpretrain.registry
    from mmdet.utils import register_all_modules as register_mmdet
    from mmpretrain.utils import register_all_modules as register_mmpretrain

    import_module('askd_mmdet.detection')
    register_mmdet(init_default_scope=False)
    register_mmpretrain(init_default_scope=False)
    owners = defaultdict(set)
    for library in (mmdet.registry, mmpretrain.registry):
        for child in vars(library).values():
            if isinstance(child, Registry):
                for registry in filter(None, (child, child.parent)):
                    for name, module in registry.module_dict.items():
                        owners[registry.name, name].add(module.__module__.split('.')[0])
    ours = {key for key, libraries in owners.items() if 'askd_mmdet' in libraries}
    assert {('model', 'CBAM'), ('hook', 'DistillationHook'), ('dataset', 'WiderFaceTxtDataset')} <= ours
    assert not {key: owners[key] for key in ours if owners[key] != {'askd_mmdet'}}
