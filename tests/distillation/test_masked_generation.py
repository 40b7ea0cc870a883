"""MGD: its formula, its masks, and weights that learn with the student and are no part of it."""

import socket
import subprocess
import sys

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import RUNNERS
from scipy.signal import correlate

from askd_mmdet.distillation import DistillationHook, MaskedGenerationLoss
from askd_mmdet.distillation.losses.masked_generation import masked
from askd_mmdet.training import read_checkpoint
from tests.toy_run import ASKD, BASE, HR, ROOT, distillation, toy_config, train

SMALL = 'configs/small/tinaface_r50-bn-cbam_masks-4x'


def features(seed, *shapes):
    generator = torch.Generator().manual_seed(seed)
    return [[torch.randn(shape, generator=generator) for shape in shapes] for _ in range(2)]


def evaluate(loss, student, teacher):
    return loss(dict(features=student), dict(features=teacher))


def convolved(x, layer):
    """A 3x3 convolution of (C, H, W) by scipy, zeros around."""
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
    weights, bias = (p.detach().double().numpy() for p in (layer.weight, layer.bias))
    return np.stack([correlate(padded, w, mode='valid')[0] + b for w, b in zip(weights, bias)])


def test_the_loss_is_its_formula_summed_over_levels():
    torch.manual_seed(5)
    student, teacher = features(0, (3, 4, 6, 5), (3, 2, 3, 4))
    loss = MaskedGenerationLoss([4, 2], ratio=0.5, weight=0.1)
    random, expected = torch.Generator().manual_seed(5 ^ 1), 0
    for s, t, (first, _, second) in zip(student, teacher, loss.generators):
        for picture, wanted in zip(masked(s, 0.5, random).double().numpy(), t.double().numpy()):
            hidden = np.maximum(convolved(picture, first), 0)
            expected += ((convolved(hidden, second) - wanted) ** 2).sum() / len(s)
    assert evaluate(loss, student, teacher).item() == pytest.approx(0.1 * expected, rel=1e-5)


def test_a_level_takes_two_convolutions():
    student, teacher = features(0, (2, 3, 4, 4), (2, 3, 2, 2))
    loss = MaskedGenerationLoss([3, 3])
    with torch.profiler.profile() as profiler:
        evaluate(loss, student, teacher)
    assert sum(event.name == 'aten::conv2d' for event in profiler.events()) == 4


@pytest.mark.parametrize('ratio', [0.0, 0.15, 0.65])
def test_so_many_positions_are_masked_in_all_channels(ratio):
    x = torch.rand(4, 3, 50, 50) + 1
    kept = masked(x, ratio, torch.Generator().manual_seed(0))
    zero = kept == 0
    assert torch.equal(kept[~zero], x[~zero]) and (zero == zero[:, :1]).all()
    # Five standard deviations of the share in 10000 draws.
    assert zero[:, 0].float().mean().item() == pytest.approx(ratio, abs=0.025 if ratio else 0)
    pictures = zero[:, 0].flatten(1)
    assert not ratio or len(pictures.unique(dim=0)) == len(pictures)


def test_nothing_is_lost_where_the_generator_passes_the_features_on():
    """With kernels that are the identity, of positive features that no mask touches, what is left is their distance."""
    student, teacher = ([x.abs() for x in side] for side in features(1, (2, 3, 4, 4)))
    loss = MaskedGenerationLoss([3], ratio=0.0, weight=1.0)
    for layer in (loss.generators[0][0], loss.generators[0][2]):
        torch.nn.init.dirac_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
    expected = (student[0] - teacher[0]).square().sum().item() / 2
    assert evaluate(loss, student, teacher).item() == pytest.approx(expected, rel=1e-6)
    assert evaluate(loss, teacher, teacher).item() == 0


def test_student_and_generator_get_gradients_and_the_teacher_none():
    student, teacher = features(2, (2, 3, 4, 4))
    loss = MaskedGenerationLoss([3])
    for x in (student[0], teacher[0]):
        x.requires_grad_()
    evaluate(loss, student, [teacher[0].detach()]).backward()
    for x in (student[0], *loss.parameters()):
        assert x.grad.isfinite().all() and x.grad.any()
    assert teacher[0].grad is None


def test_half_precision_is_computed_in_float32():
    student, teacher = ([x[0].half()] for x in features(3, (2, 3, 4, 4)))
    loss = MaskedGenerationLoss([3], ratio=0.0)
    found = evaluate(loss, student, teacher)
    assert found.dtype == torch.float32
    assert found == evaluate(loss, [student[0].float()], [teacher[0].float()])


GPU = pytest.param('cuda', marks=pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU'))


@pytest.mark.parametrize('device', ['cpu', GPU])
def test_masks_disturb_no_other_draw_differ_from_step_to_step_and_repeat_with_the_seed(device):
    student, teacher = ([x[0].to(device)] for x in features(4, (2, 3, 8, 8)))
    loss = MaskedGenerationLoss([3]).to(device)

    def epoch():
        torch.manual_seed(7)
        return [evaluate(loss, student, teacher).item() for _ in range(3)], torch.rand(())

    values, draw = epoch()
    assert len(set(values)) == 3 and draw == torch.rand((), generator=torch.Generator().manual_seed(7))
    torch.manual_seed(8)
    assert evaluate(loss, student, teacher).item() not in values
    assert epoch()[0] == values


@pytest.mark.parametrize('shapes', [[(2, 4, 3, 3)], [(2, 3, 3, 3), (2, 3, 2, 2)]])
def test_other_channels_or_levels_are_named(shapes):
    student, teacher = features(0, *shapes)
    found = [shape[1] for shape in shapes]
    message = rf"'neck' puts out {len(found)} tensors, of \{found} channels, but channels=\[3\]; the setting must be"
    with pytest.raises(ValueError, match=message):
        evaluate(MaskedGenerationLoss([3]), student, teacher)


def test_outputs_of_different_shape_are_refused():
    student, teacher = features(0, (2, 3, 3, 3))
    with pytest.raises(ValueError, match='tapped outputs differ in shape'):
        evaluate(MaskedGenerationLoss([3]), [student[0][:, :, 1:]], teacher)


# In trainings of the toy detector


@pytest.fixture(scope='module')
def teacher(toy_data, tmp_path_factory):
    work_dir = tmp_path_factory.mktemp('teacher')
    RUNNERS.build(toy_config(HR, toy_data, work_dir, **{'train_cfg.max_epochs': 1})).train()
    return work_dir / 'epoch_1.pth'


def rival(method, toy_data, work_dir, teacher, weight=None, **options):
    """The toy with the losses of a small config."""
    cfg = toy_config(ASKD, toy_data, work_dir, teacher, **options)
    distillation(cfg).losses = distillation(Config.fromfile(ROOT / f'{SMALL}_{method}.py')).losses
    if weight is not None:
        distillation(cfg).losses.loss_feature.weight = weight
    return cfg


def equal(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def loss_of(runner):
    return next(hook for hook in runner.hooks if isinstance(hook, DistillationHook)).losses['loss_feature']


@pytest.mark.parametrize('method', ['cwd', 'pkd', 'mgd'])
def test_every_rival_trains_with_the_losses_of_its_config_and_weight_0_is_the_plain_run(
    toy_data, teacher, tmp_path, method
):
    one = {'train_cfg.max_epochs': 1}
    base, _ = train(toy_config(BASE, toy_data, tmp_path / 'base', **one))
    plain = base.model.state_dict()
    runner, steps = train(rival(method, toy_data, tmp_path / 'on', teacher, **one))
    assert len(steps) == 4
    for step in steps:
        assert 0 < step['loss_feature'] < 100
        assert step['loss'] == pytest.approx(sum(v for k, v in step.items() if k.startswith('loss_')), rel=1e-5)
    assert runner.model.state_dict().keys() == plain.keys() and not equal(runner.model.state_dict(), plain)
    saved = read_checkpoint(tmp_path / 'on/epoch_1.pth')
    assert saved['state_dict'].keys() == plain.keys() and ('distillation' in saved) == (method == 'mgd')

    off, steps = train(rival(method, toy_data, tmp_path / 'off', teacher, weight=0.0, **one))
    assert steps[0]['loss_feature'] == 0 and equal(off.model.state_dict(), plain)


def test_generators_learn_at_the_rate_of_the_student_and_resume_bit_for_bit(toy_data, teacher, tmp_path):
    class Watch(Hook):
        def __init__(self, stop=None):
            self.stop = stop

        def before_train(self, runner):
            self.first = {name: value.clone() for name, value in loss_of(runner).state_dict().items()}

        def after_train_iter(self, runner, **kwargs):
            if runner.iter == self.stop:
                raise KeyboardInterrupt

    def start(name, watch, **options):
        runner = RUNNERS.build(rival('mgd', toy_data, tmp_path / name, teacher, **options))
        runner.register_hook(watch)
        return runner

    watch = Watch()
    whole = start('whole', watch)
    whole.train()
    trained = loss_of(whole).state_dict()
    assert all(not torch.equal(trained[name], watch.first[name]) for name in trained)
    (group,) = whole.optim_wrapper.param_groups
    ids = {id(p) for p in group['params']}
    assert len(ids) == len(group['params']) and {id(p) for p in loss_of(whole).parameters()} < ids
    saved = read_checkpoint(tmp_path / 'whole/epoch_2.pth')['distillation']
    assert equal(saved['loss_feature'], trained)

    with pytest.raises(KeyboardInterrupt):
        start('cut', Watch(stop=5)).train()
    watch = Watch()
    resumed = start('cut', watch, resume=True)
    resumed.train()
    halfway = read_checkpoint(tmp_path / 'cut/epoch_1.pth')['distillation']['loss_feature']
    assert equal(watch.first, halfway)
    assert equal(resumed.model.state_dict(), whole.model.state_dict())
    assert equal(loss_of(resumed).state_dict(), trained)

    tested = rival('mgd', toy_data, tmp_path / 'test', teacher, load_from=str(tmp_path / 'whole/epoch_2.pth'))
    assert set(RUNNERS.build(tested).test()) == {f'wider_face/{subset}' for subset in ('easy', 'medium', 'hard')}


def test_generators_train_at_the_rate_of_most_weights_where_the_last_ones_are_frozen(toy_data, teacher, tmp_path):
    frozen = dict(lr_mult=0.0, decay_mult=0.0)
    paramwise = dict(norm_decay_mult=0.0, bias_lr_mult=2.0, custom_keys={'bbox_head': frozen})
    options = {'optim_wrapper.paramwise_cfg': paramwise, 'train_cfg.max_epochs': 1}
    runner = RUNNERS.build(rival('mgd', toy_data, tmp_path, teacher, **options))
    runner.train()
    groups = runner.optim_wrapper.optimizer.param_groups
    assert groups[-1]['lr'] == 0
    ours = {id(weight) for weight in loss_of(runner).parameters()}
    (group,) = (group for group in groups if ours & {id(weight) for weight in group['params']})
    stem = next(module.weight for module in runner.model.backbone.modules() if isinstance(module, torch.nn.Conv2d))
    (plain,) = (group for group in groups if any(weight is stem for weight in group['params']))
    assert [group[key] for key in ('lr', 'weight_decay')] == [plain[key] for key in ('lr', 'weight_decay')]
    assert group['weight_decay'] > 0 and ours < {id(weight) for weight in group['params']}


@pytest.mark.parametrize(
    'first, then, message',
    [
        ('pkd', 'mgd', r'has weights of the losses \[\], and the config trains those of \[.loss_feature.\]'),
        ('mgd', 'pkd', r'has weights of the losses \[.loss_feature.\], and the config trains those of \[\]'),
    ],
)
def test_a_run_goes_on_with_the_generators_that_it_began_with(first, then, message, toy_data, teacher, tmp_path):
    train(rival(first, toy_data, tmp_path, teacher, **{'train_cfg.max_epochs': 1}))
    with pytest.raises(ValueError, match=message):
        train(rival(then, toy_data, tmp_path, teacher, resume=True))


SCRIPT = """
import sys, torch
from types import SimpleNamespace
from mmengine.dist import get_rank, get_world_size
from mmengine.optim import OptimWrapper
from askd_mmdet.distillation import DistillationHook
student = torch.nn.Conv2d(3, 3, 1)
torch.nn.init.dirac_(student.weight)
torch.nn.init.zeros_(student.bias)
if sys.argv[2] == 'ddp':
    torch.distributed.init_process_group('gloo')
    student = torch.nn.parallel.DistributedDataParallel(student)
torch.manual_seed(get_rank())  # the first process's weights are those of all
hook = DistillationHook(
    teacher=dict(model=dict(type='x')), checkpoint='x',
    losses=dict(loss_feature=dict(type='MaskedGenerationLoss', channels=[3], ratio=0.0, weight=1.0)),
)
optimizer = OptimWrapper(torch.optim.SGD(student.parameters(), lr=0.01))
hook.before_run(SimpleNamespace(optim_wrapper=optimizer))
loss = hook.losses['loss_feature']
x = torch.randn(2, 8, 3, 5, 5, generator=torch.Generator().manual_seed(0))
for step in range(2):
    for part in range(2):  # two backward passes to a step, as where gradients are accumulated
        s, t = x[:, 4 * part : 4 * part + 4].chunk(get_world_size(), 1)[get_rank()]
        (loss(dict(features=[student(s)]), dict(features=[t])) / 2).backward()
    optimizer.step()
    optimizer.zero_grad()
weights = [*student.parameters(), *loss.parameters()]
torch.save([weight.detach() for weight in weights], f'{sys.argv[1]}/{sys.argv[2]}{get_rank()}.pth')
if torch.distributed.is_initialized():
    torch.distributed.destroy_process_group()
"""


def test_two_processes_train_the_generators_as_one_does_on_the_joint_batch(tmp_path):
    (tmp_path / 'steps.py').write_text(SCRIPT)
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    launcher = ['-m', 'torch.distributed.run', '--nproc_per_node=2', f'--master_port={port}']
    for name, start in (('one', []), ('ddp', launcher)):
        command = [sys.executable, *start, str(tmp_path / 'steps.py'), str(tmp_path), name]
        environment = dict(PYTHONPATH=str(ROOT), OMP_NUM_THREADS='1', PATH='', CUDA_VISIBLE_DEVICES='')
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr[-3000:]
    one, first, second = (torch.load(tmp_path / f'{name}.pth') for name in ('one0', 'ddp0', 'ddp1'))
    assert len(one) == 6 and all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    torch.testing.assert_close(first, one)
