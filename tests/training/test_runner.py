"""Runs that are killed and resumed, repeated, or diverge."""

import json
import signal
import subprocess
import sys

import pytest
import torch
from mmengine.hooks import Hook

from askd_mmdet.training import read_checkpoint
from tests.training import small_run
from tests.training.small_run import make_runner


def weights(path):
    return read_checkpoint(path)['state_dict']


@pytest.mark.parametrize('workers', [0, 2])
@pytest.mark.parametrize('kill', [dict(iteration=4), dict(iteration=6), dict(saving_epoch=2)])
def test_a_killed_and_resumed_run_gives_the_weights_of_one_that_was_not(tmp_path, kill, workers):
    settings = dict(epochs=4, workers=workers)
    call = [sys.executable, small_run.__file__, tmp_path / 'killed', json.dumps(dict(settings, kill=kill))]
    assert subprocess.run(call, capture_output=True, timeout=120).returncode == -signal.SIGKILL
    assert (tmp_path / 'killed/epoch_1.pth').exists() and not (tmp_path / 'killed/epoch_4.pth').exists()

    hooks = [dict(type='EpochSeedHook')]
    make_runner(tmp_path / 'killed', hooks=hooks, resume=True, **settings).train()
    make_runner(tmp_path / 'whole', hooks=hooks, **settings).train()
    whole, resumed = (read_checkpoint(tmp_path / run / 'epoch_4.pth') for run in ('whole', 'killed'))
    assert whole['meta']['iter'] == resumed['meta']['iter'] == 12
    for name, value in whole['state_dict'].items():
        assert torch.equal(value, resumed['state_dict'][name]), name
    for index, state in whole['optimizer']['state'].items():
        assert torch.equal(state['momentum_buffer'], resumed['optimizer']['state'][index]['momentum_buffer'])


def test_epochs_do_not_repeat_each_other(tmp_path):
    class Record(Hook):
        seen = []

        def before_train_iter(self, runner, batch_idx, data_batch):
            self.seen.append(torch.stack(data_batch['inputs']).frac())

    make_runner(tmp_path, epochs=2, hooks=[dict(type='EpochSeedHook'), Record()], workers=1).train()
    noise = torch.cat(Record.seen).flatten()
    assert len(noise.unique()) == len(noise)


def test_resume_with_nothing_to_resume_starts_anew(tmp_path):
    make_runner(tmp_path, resume=True).train()
    assert (tmp_path / 'epoch_2.pth').is_file()


def test_resume_ignores_an_empty_pointer(tmp_path):
    make_runner(tmp_path, epochs=1).train()
    (tmp_path / 'last_checkpoint').write_text('')
    runner = make_runner(tmp_path, epochs=2, resume=True)
    runner.train()
    assert runner.iter == 6


def test_workers_that_live_on_are_refused(tmp_path):
    runner = make_runner(tmp_path, hooks=[dict(type='EpochSeedHook')], workers=1)
    runner._train_dataloader['persistent_workers'] = True
    with pytest.raises(ValueError, match='persistent_workers=False'):
        runner.train()


def test_a_loss_that_becomes_nan_ends_the_run_before_it_is_saved(tmp_path):
    class Poison(Hook):
        def before_train_iter(self, runner, **kwargs):
            if runner.iter == 4:
                runner.model.net[2].bias.data.fill_(float('nan'))

    runner = make_runner(tmp_path, epochs=3, hooks=[dict(type='FiniteLossHook'), Poison()])
    message = r"epoch 2, iteration 5: the loss is not finite: \{'loss': nan\}.*last good checkpoint in .*"
    with pytest.raises(FloatingPointError, match=message):
        runner.train()
    assert [path.name for path in tmp_path.glob('*.pth')] == ['epoch_1.pth']
    assert all(value.isfinite().all() for value in weights(tmp_path / 'epoch_1.pth').values())


def test_a_nan_among_the_losses_ends_the_run_although_the_model_hides_the_total(tmp_path):
    """Its own loss is called 'loss', as the total is."""

    class Extra(Hook):
        def before_train(self, runner):
            runner.model.register_forward_hook(lambda model, inputs, losses: dict(losses, loss_extra=self.value()))
            self.runner = runner

        def value(self):
            return torch.tensor(float('nan') if self.runner.iter == 2 else 0.0)

    runner = make_runner(tmp_path, hooks=[dict(type='FiniteLossHook'), Extra()])
    with pytest.raises(FloatingPointError, match=r"iteration 3: the loss is not finite: \{'loss_extra': nan\}"):
        runner.train()


def test_weights_that_are_nan_are_not_saved(tmp_path):
    class Poison(Hook):
        priority = 'LOW'

        def after_train_iter(self, runner, **kwargs):
            if runner.iter == 5:
                runner.model.net[0].weight.data.fill_(float('nan'))

    with pytest.raises(
        FloatingPointError, match=r'epoch 2.*1 weights are not finite, nothing was saved: net\.0\.weight'
    ):
        make_runner(tmp_path, epochs=3, hooks=[dict(type='FiniteLossHook'), Poison()]).train()
    assert [path.name for path in tmp_path.glob('*.pth')] == ['epoch_1.pth']


def test_load_from_loads_all_or_nothing(tmp_path):
    state = make_runner(tmp_path / 'a').model.state_dict()
    state.pop('net.2.bias')
    torch.save(state, tmp_path / 'half.pth')
    with pytest.raises(ValueError, match=r'half\.pth does not fit Regression, nothing was loaded.*net\.2\.bias'):
        make_runner(tmp_path / 'b', load_from=str(tmp_path / 'half.pth')).train()
