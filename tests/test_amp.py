"""Mixed precision, and channels last, in real trainings of the three tasks."""

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.optim import build_optim_wrapper
from mmengine.registry import RUNNERS

from askd_mmdet.training.amp import BFloat16OptimWrapper, mixed
from tests.students import TASKS, student
from tests.toy_run import distillation


class Watch(Hook):
    """Keeps the losses of the first step, and what the convolutions put out in the second.

    In the first, the teacher compares itself, folded, with what it was.
    """

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if batch_idx == 1:
            teacher = next(hook for hook in runner.hooks if type(hook).__name__ == 'DistillationHook').teacher
            self.outputs = {'student': [], 'teacher': []}
            self.handles = [
                module.register_forward_hook(lambda module, inputs, output, owner=owner: self.keep(owner, output))
                for owner, network in (('student', runner.model), ('teacher', teacher.model))
                for module in network.modules()
                if type(module) is torch.nn.Conv2d
            ]

    def keep(self, owner, output):
        self.outputs[owner].append((output.dtype, output.is_contiguous(memory_format=torch.channels_last)))

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if batch_idx == 0:
            self.losses = {name: value.clone() for name, value in outputs.items()}
        if batch_idx == 1:
            for handle in self.handles:
                handle.remove()


def train(cfg):
    runner, watch = RUNNERS.build(cfg), Watch()
    runner.register_hook(watch, 'LOWEST')
    runner.train()
    return runner, watch


@pytest.fixture(scope='module', params=TASKS)
def exact(request, toy_data, toy_faces, tmp_path_factory):
    """The config of a student by its options, and its run in float32."""
    folder = tmp_path_factory.mktemp(request.param)
    return lambda **options: student(request.param, toy_data, toy_faces, folder, **options)


@pytest.fixture(scope='module')
def plain(exact):
    return train(exact())


def test_a_config_with_the_wrapper_of_another_precision_may_ask_for_bfloat16():
    """As those of MMDetection and MMPretrain that train in float16."""
    optimizer = dict(type='SGD', lr=0.1)
    theirs = dict(type='AmpOptimWrapper', loss_scale='dynamic', dtype='float16', use_fsdp=False, optimizer=optimizer)
    built = build_optim_wrapper(torch.nn.Linear(1, 1), mixed(theirs, 'bfloat16'))
    assert type(built) is BFloat16OptimWrapper and built.get_lr() == dict(lr=[0.1])


def test_bfloat16_is_for_both_networks_and_leaves_losses_and_weights_in_float32(exact, plain):
    runner, watch = train(exact(amp='bfloat16'))
    for owner, outputs in watch.outputs.items():
        assert {dtype for dtype, _ in outputs} == {torch.bfloat16}, owner
        assert {dtype for dtype, _ in plain[1].outputs[owner]} == {torch.float32}
    for name, value in watch.losses.items():
        assert value.dtype == torch.float32
        assert value.item() == pytest.approx(plain[1].losses[name].item(), rel=0.05), name
    assert watch.losses != plain[1].losses
    weights = runner.model.state_dict().values()
    assert {value.dtype for value in weights} <= {torch.float32, torch.int64}
    assert all(value.isfinite().all() for value in weights)


def test_the_config_of_a_teacher_decides_what_it_computes_in(exact):
    cfg = exact(amp='bfloat16')
    distillation(cfg).dtype = 'float32'
    _, watch = train(cfg)
    assert {dtype for dtype, _ in watch.outputs['teacher']} == {torch.float32}
    assert {dtype for dtype, _ in watch.outputs['student']} == {torch.bfloat16}


# Of the widths that the toy networks have, oneDNN trains no strided convolution in this layout; and dropout goes by the
# order in memory.
WIDE = {
    'detection': {},
    'recognition': {'model.backbone.base_channels': 16, 'model.backbone.dropout': 0.0},
    'classification': {
        'model.backbone.stem_channels': 16,
        'model.backbone.base_channels': 16,
        'model.head.in_channels': 128,
    },
}


@pytest.mark.parametrize('task', TASKS)
def test_channels_last_changes_the_layout_and_no_loss(task, toy_data, toy_faces, tmp_path):
    watches = []
    for channels_last in (False, True):
        cfg = student(task, toy_data, toy_faces, tmp_path, channels_last=channels_last, **WIDE[task])
        cfg.load_from = distillation(cfg).checkpoint
        watches.append(train(cfg)[1])
    plain, last = watches
    assert all(is_last for _, is_last in last.outputs['student'])
    assert not all(is_last for _, is_last in plain.outputs['student'])
    for name, value in last.losses.items():
        assert value.item() == pytest.approx(plain.losses[name].item(), rel=1e-4), name


@pytest.mark.skipif(torch.cuda.is_available(), reason='a GPU trains them')
@pytest.mark.parametrize('compiled', [False, True])
def test_what_onednn_cannot_train_channels_last_is_refused(toy_data, toy_faces, tmp_path, compiled):
    cfg = student('recognition', toy_data, toy_faces, tmp_path, channels_last=not compiled)
    cfg.custom_hooks.extend([dict(type='CompileHook')] * compiled)
    with pytest.raises(ValueError, match=r'layer1.0.shortcut_layer.0 is a strided 1x1 convolution of 4 channels'):
        RUNNERS.build(cfg).train()


def test_an_unknown_precision_is_refused(exact):
    with pytest.raises(ValueError, match="found amp='half', expected 'bfloat16' or 'float16'"):
        RUNNERS.build(exact(amp='half')).train()


def test_a_compiled_backbone_is_tapped_all_the_same(toy_data, toy_faces, tmp_path):
    """In training and, by the hook that measures correlation, in validation.

    How fast the compiler's code is, is another matter, so it runs by `eager`.
    """
    found = []
    for hooks in ([], [dict(type='CompileHook', backend='eager')]):
        options = {'train_cfg.max_epochs': 2, 'train_cfg.val_begin': 1}
        cfg = student('recognition', toy_data, toy_faces, tmp_path, **options)
        cfg.custom_hooks.extend(hooks)
        torch.compiler.reset()
        torch._dynamo.utils.counters.clear()
        runner, _ = train(cfg)
        logged = {name: buffer.data[0] for name, buffer in runner.message_hub.log_scalars.items() if 'time' not in name}
        found.append({name: list(values) for name, values in logged.items() if 'loss' in name or 'correlation' in name})
    assert torch._dynamo.utils.counters['stats']['unique_graphs'] >= 2
    plain, compiled = found
    assert {'train/loss_attention', 'val/correlation/spatial'} < plain.keys() == compiled.keys()
    for name, values in plain.items():
        assert compiled[name] == pytest.approx(values, rel=1e-4), name


def test_a_part_that_is_not_there_is_refused(exact):
    cfg = exact()
    cfg.custom_hooks.append(dict(type='CompileHook', part='back'))
    with pytest.raises(ValueError, match=r"has no part 'back', but .*backbone"):
        RUNNERS.build(cfg).train()
