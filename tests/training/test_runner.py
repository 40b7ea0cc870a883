"""Runs that are killed and resumed, repeated, or diverge."""

import copy
import json
import shutil
import signal
import subprocess
import sys
from subprocess import DEVNULL

import pytest
import torch
from mmengine.hooks import Hook

from askd_mmdet.training import FiniteLossHook, read_checkpoint
from tests.training import small_run
from tests.training.small_run import make_runner


def weights(path):
    return read_checkpoint(path)['state_dict']


@pytest.mark.parametrize('workers', [0, 2])
@pytest.mark.parametrize('kill', [dict(iteration=4), dict(iteration=6), dict(saving_epoch=2)])
def test_a_killed_and_resumed_run_gives_the_weights_of_one_that_was_not(tmp_path, kill, workers):
    settings = dict(epochs=4, workers=workers)
    call = [sys.executable, small_run.__file__, tmp_path / 'killed', json.dumps(dict(settings, kill=kill))]
    # No pipes: a worker that outlives its killed parent would keep them open.
    assert subprocess.run(call, stdout=DEVNULL, stderr=DEVNULL, timeout=120).returncode == -signal.SIGKILL
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


def test_an_epoch_without_a_step_is_refused(tmp_path):
    make_runner(tmp_path / 'one', batch=6).train()
    with pytest.raises(ValueError, match='6 training samples make no batch of 7, and incomplete ones are dropped'):
        make_runner(tmp_path / 'none', batch=7).train()
    assert [*tmp_path.glob('one/*.pth')] and not [*tmp_path.glob('none/*.pth')]


def test_resume_with_nothing_to_resume_starts_anew(tmp_path):
    make_runner(tmp_path, resume=True).train()
    assert (tmp_path / 'epoch_2.pth').is_file()


def test_resume_with_nothing_to_resume_begins_with_the_weights_that_the_config_names(tmp_path):
    """`askd table` always resumes, and a table of fine-tuned networks would else be one of networks from scratch."""
    make_runner(tmp_path / 'first').train()
    settings = dict(epochs=1, load_from=str(tmp_path / 'first/epoch_2.pth'))
    for name, resume in (('plain', False), ('auto', 'auto')):
        make_runner(tmp_path / name, resume=resume, **settings).train()
    make_runner(tmp_path / 'scratch', epochs=1).train()
    plain, auto, scratch = (weights(tmp_path / name / 'epoch_1.pth') for name in ('plain', 'auto', 'scratch'))
    assert all(torch.equal(value, auto[name]) for name, value in plain.items())
    assert any(not torch.equal(value, scratch[name]) for name, value in plain.items())
    # Once there are checkpoints of its own it goes on from those.
    runner = make_runner(tmp_path / 'auto', resume='auto', **settings | dict(epochs=2))
    runner.train()
    assert runner.iter == 6


def test_a_run_that_went_back_goes_on_from_its_newest_checkpoint(tmp_path):
    """Not from the later ones of the run that it left."""
    make_runner(tmp_path, epochs=3).train()
    left = weights(tmp_path / 'epoch_3.pth')
    make_runner(
        tmp_path, epochs=2, resume=True, load_from=str(tmp_path / 'epoch_1.pth'), optimizer=dict(lr=1e-3)
    ).train()
    runner = make_runner(tmp_path, epochs=3, resume='auto', optimizer=dict(lr=1e-3))
    seen = []
    runner.register_hook(Watch(seen))
    runner.train()
    assert seen == [2] and any(not torch.equal(value, left[name]) for name, value in runner.model.state_dict().items())


def test_the_newest_checkpoint_is_known_after_a_copy_that_forgets_times(tmp_path):
    make_runner(tmp_path / 'a', epochs=3).train()
    (tmp_path / 'b').mkdir()
    for path in sorted(tmp_path.glob('a/*[!0-9]*'), reverse=True):
        if path.is_file():
            shutil.copyfile(path, tmp_path / 'b' / path.name)
    runner, seen = make_runner(tmp_path / 'b', epochs=4, resume='auto'), []
    runner.register_hook(Watch(seen))
    runner.train()
    assert seen == [3]


class Watch(Hook):
    def __init__(self, seen):
        self.seen = seen

    def before_train_epoch(self, runner):
        self.seen.append(runner.epoch)


SCHEDULE = [
    dict(type='LinearLR', start_factor=0.1, begin=0, end=5, by_epoch=False),
    dict(type='MultiStepLR', milestones=[3], gamma=0.1),
    dict(type='CosineAnnealingLR', T_max=12, begin=0, end=12, by_epoch=False),
]


@pytest.mark.parametrize('schedule', [[], SCHEDULE])
def test_a_resumed_run_has_the_learning_rate_of_its_config(tmp_path, schedule):
    """The schedule goes on from where it was: two epochs at a rate, and the rest as if it had always been another."""
    rates = {}
    for name, lr in (('old', 0.01), ('new', 0.001)):
        make_runner(tmp_path / name, epochs=4, optimizer=dict(lr=lr), param_scheduler=schedule, hooks=[Rates()]).train()
        rates[name] = Rates.seen
    settings = dict(optimizer=dict(lr=0.001), param_scheduler=schedule, hooks=[Rates()])
    runner = make_runner(tmp_path / 'c', epochs=4, resume=True, load_from=str(tmp_path / 'old/epoch_2.pth'), **settings)
    runner.train()
    assert Rates.seen == pytest.approx(rates['new'][6:], rel=1e-9) and rates['old'][6:] != rates['new'][6:]


class Rates(Hook):
    """The rate of every step of the latest run."""

    def before_train(self, runner):
        Rates.seen = []

    def before_train_iter(self, runner, batch_idx, data_batch):
        Rates.seen.append(runner.optim_wrapper.param_groups[0]['lr'])


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


class Elsewhere(torch.Tensor):
    """On a GPU, as it were: to look at it waits."""

    waits = 0

    def cpu(self):
        Elsewhere.waits += 1
        return self.as_subclass(torch.Tensor)

    def item(self):
        raise AssertionError('waits for the GPU')

    tolist = __bool__ = item


def test_all_numbers_of_a_step_come_from_the_gpu_together_and_before_they_are_logged(tmp_path):
    numbers = dict(loss=3.5, loss_cls=0.1, accuracy=0.7)
    outputs = {name: torch.tensor(value).as_subclass(Elsewhere) for name, value in numbers.items()}
    FiniteLossHook().after_train_iter(None, 0, {}, outputs)
    assert Elsewhere.waits == 1
    assert {name: value.item() for name, value in outputs.items()} == pytest.approx(numbers)
    hooks = [type(hook).__name__ for hook in make_runner(tmp_path, hooks=[dict(type='FiniteLossHook')]).hooks]
    assert hooks.index('FiniteLossHook') < hooks.index('RuntimeInfoHook')


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


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    """The checkpoint of a run after its first epoch."""
    folder = tmp_path_factory.mktemp('run')
    make_runner(folder, epochs=1).train()
    return read_checkpoint(folder / 'epoch_1.pth')


def resume(tmp_path, checkpoint):
    """Resume from a checkpoint; the runner, its weights before, and what it says."""
    torch.save(checkpoint, tmp_path / 'a.pth')
    runner = make_runner(tmp_path / 'b', epochs=2, resume=True, load_from=str(tmp_path / 'a.pth'))
    before = {name: value.clone() for name, value in runner.model.state_dict().items()}
    try:
        runner.train()
    except ValueError as error:
        return runner, before, str(error)
    return runner, before, ''


@pytest.mark.parametrize(
    'change, reason',
    [
        (lambda c: c.pop('meta'), "KeyError: 'meta'"),
        (lambda c: c.update(meta=None), 'TypeError'),
        (lambda c: c['meta'].pop('iter'), "KeyError: 'iter'"),
        (lambda c: c['meta'].update(epoch='1'), "found epoch='1', expected a whole number"),
        (lambda c: c['meta'].update(iter=-3), 'found iter=-3, expected at least 0'),
        (lambda c: c.pop('message_hub'), "KeyError: 'message_hub'"),
        (lambda c: c.update(message_hub=dict(log_scalars=3)), 'AssertionError'),
        (lambda c: c.update(optimizer=None), 'AttributeError'),
        (lambda c: c.update(optimizer=torch.optim.SGD([torch.ones(1)], lr=1).state_dict()), "doesn't match the size"),
    ],
)
def test_what_no_run_can_go_on_with_is_refused_and_changes_nothing(tmp_path, run, change, reason):
    checkpoint = copy.deepcopy(run)
    change(checkpoint)
    runner, before, said = resume(tmp_path, checkpoint)
    assert f'{tmp_path}/a.pth holds weights, but no run that this config can go on with' in said and reason in said
    assert all(torch.equal(value, before[name]) for name, value in runner.model.state_dict().items())


def test_a_checkpoint_of_another_network_is_not_resumed_from(tmp_path, run):
    checkpoint = dict(run, state_dict={'net.0.weight': torch.ones(1)})
    runner, before, said = resume(tmp_path, checkpoint)
    assert 'does not fit Regression, nothing was loaded' in said
    assert all(torch.equal(value, before[name]) for name, value in runner.model.state_dict().items())


def test_the_config_in_a_checkpoint_is_not_run(tmp_path, run):
    """It is Python, which MMEngine runs when it resumes."""
    checkpoint = copy.deepcopy(run)
    checkpoint['meta']['config'] = f'open({str(tmp_path / "trap")!r}, "w").close()\n'
    runner, _, said = resume(tmp_path, checkpoint)
    assert not said and runner.iter == 6
    assert not (tmp_path / 'trap').exists()


def test_two_runs_of_a_process_log_into_their_own_folders_under_one_name_of_a_visualizer(tmp_path):
    """As a notebook or a test may train one after the other."""
    for run in ('first', 'second'):
        visualizer = dict(type='Visualizer', name='visualizer', vis_backends=[dict(type='LocalVisBackend')])
        make_runner(tmp_path / run, epochs=1, visualizer=visualizer).train()
        (log,) = (tmp_path / run).glob('*/vis_data/scalars.json')
        assert log.read_text()
