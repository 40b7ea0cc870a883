"""A-SKD steps of all tasks on a GPU: those of the CPU, in two bytes almost the same, and in constant memory."""

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.registry import RUNNERS

from tests.students import TASKS, student
from tests.toy_run import distillation

# Deformable convolutions, which the toy detector has not.
DCN = {
    'model.backbone.dcn': dict(type='TorchvisionDCN', deform_groups=1, fallback_on_stride=False),
    'model.backbone.stage_with_dcn': (False, False, True, True),
}
NETWORKS = {
    'detection': {},
    'detection-dcn': DCN,
    'recognition': {'model.backbone.dropout': 0.0},  # whose draws differ between devices
    'classification': {},
}
assert {name.split('-')[0] for name in NETWORKS} == set(TASKS)


class FirstStep(Hook):
    """Keeps the losses of the first step, and the gradients that the optimiser gets."""

    def before_train(self, runner):
        self.gradients, self.losses = None, None
        runner.optim_wrapper.optimizer.register_step_pre_hook(lambda *_: self.keep(runner.model))

    def keep(self, model):
        if self.gradients is None:
            self.gradients = {name: weight.grad.cpu() for name, weight in model.named_parameters()}

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if self.losses is None:
            self.losses = {name: value.item() for name, value in outputs.items()}


class Memory(Hook):
    """Keeps how much memory is in use after every step."""

    def before_train(self, runner):
        self.bytes = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.bytes.append(torch.cuda.memory_allocated())


@pytest.fixture
def train(request, monkeypatch, toy_data, toy_faces, tmp_path):
    """Trains a network of NETWORKS on a device, watched by a hook; returns its runner."""

    def run(name, where, hook, **options):
        monkeypatch.setattr('mmengine.device.utils.DEVICE', where)
        cfg = student(name.split('-')[0], toy_data, toy_faces, tmp_path, **NETWORKS[name], **options)
        cfg.load_from = distillation(cfg).checkpoint
        runner = RUNNERS.build(cfg)
        runner.register_hook(hook, 'LOWEST')
        runner.train()
        assert next(runner.model.parameters()).device.type == where
        return runner

    return run


@pytest.mark.parametrize('channels_last', [False, True])
@pytest.mark.parametrize('name', NETWORKS)
def test_losses_and_gradients_are_those_of_the_cpu(device, without_tf32, train, name, channels_last):
    expected, found = FirstStep(), FirstStep()
    train(name, 'cpu', expected)
    # On the CPU, toy networks are too narrow for it.
    train(name, device, found, channels_last=channels_last and device == 'cuda')
    assert found.losses == pytest.approx(expected.losses, rel=1e-3)
    assert found.gradients.keys() == expected.gradients.keys()
    whole = torch.cat([gradient.flatten() for gradient in expected.gradients.values()]).norm()
    for parameter, gradient in expected.gradients.items():
        # Norms over a few pixels magnify rounding.
        assert torch.dist(found.gradients[parameter], gradient) < 1e-2 * gradient.norm() + 1e-3 * whole, parameter


@pytest.mark.parametrize('amp', ['bfloat16', 'float16'])
@pytest.mark.parametrize('name', NETWORKS)
def test_two_bytes_give_almost_the_same_losses_and_finite_weights(device, train, name, amp):
    if device == 'cpu' and amp == 'float16':
        pytest.skip('needs a GPU')
    exact, coarse = FirstStep(), FirstStep()
    train(name, device, exact)
    runner = train(name, device, coarse, amp=amp)
    assert coarse.losses == pytest.approx(exact.losses, rel=0.05)
    assert coarse.losses != exact.losses
    assert all(weight.dtype == torch.float32 and weight.isfinite().all() for weight in runner.model.parameters())


@pytest.mark.parametrize('amp', [None, 'bfloat16'])
@pytest.mark.parametrize('name', ['detection', 'recognition'])
def test_memory_does_not_grow_over_200_steps(cuda, train, name, amp):
    memory = Memory()
    epochs = {'detection': 50, 'recognition': 100}[name]  # of 4 and 2 steps
    options = {'train_cfg.max_epochs': epochs, 'train_cfg.val_begin': 1000, 'default_hooks.checkpoint.interval': 1000}
    train(name, 'cuda', memory, amp=amp, **options)
    assert len(memory.bytes) == 200
    # Boxes come in varying numbers.
    assert max(memory.bytes[100:]) <= max(memory.bytes[10:100]) + 2**20
