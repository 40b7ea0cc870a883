"""Checkpoints: no code runs, nothing is half-loaded, and a kill loses nothing."""

import pickle
import zipfile

import numpy as np
import pytest
import torch
from mmengine.hooks import CheckpointHook
from mmengine.logging import HistoryBuffer
from torch import nn

from askd_mmdet.training import CrashSafeCheckpointHook, load_weights, read_checkpoint
from tests.training.small_run import make_runner


class Bomb:
    """A pickle that writes a file when it is opened carelessly."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return exec, (f'open({str(self.path)!r}, "w").write("boom")',)


@pytest.mark.parametrize('save', [torch.save, lambda obj, path: path.write_bytes(pickle.dumps(obj))])
def test_a_hostile_pickle_runs_no_code(tmp_path, save):
    trap, file = tmp_path / 'trap', tmp_path / 'weights.pth'
    save(dict(state_dict={}, meta=Bomb(trap)), file)
    with pytest.raises(ValueError, match=r'weights\.pth is not a checkpoint that can be read safely'):
        read_checkpoint(file)
    assert not trap.exists()


class Reach:
    """A pickle that reaches for a global through `getattr`, which MMEngine's own loader admits."""

    def __reduce__(self):
        return getattr, (HistoryBuffer, '__init__')


def test_getattr_reaches_nothing_but_statistics(tmp_path):
    torch.save(dict(state_dict=Reach()), tmp_path / 'reach.pth')
    with pytest.raises(ValueError, match='refused: getattr'):
        read_checkpoint(tmp_path / 'reach.pth')


def test_what_mmengine_writes_is_read(tmp_path, monkeypatch):
    buffer = HistoryBuffer([1.0, 2.0], [1, 1])
    torch.save(
        dict(state_dict={'weight': torch.ones(2)}, message_hub=dict(log_scalars={'loss': buffer})), tmp_path / 'a.pth'
    )
    # A process that has logged nothing yet has no statistics registered either.
    monkeypatch.setattr(HistoryBuffer, '_statistics_methods', type(HistoryBuffer._statistics_methods)())
    loaded = read_checkpoint(tmp_path / 'a.pth')
    assert loaded['message_hub']['log_scalars']['loss'].mean() == 1.5


def test_what_numpy_1_wrote_is_read(tmp_path):
    """Numpy 2 calls the module numpy._core, numpy 1 numpy.core."""
    torch.save(dict(meta=dict(score=np.float64(0.5)), state_dict={}), tmp_path / 'new.pth')
    with zipfile.ZipFile(tmp_path / 'new.pth') as new, zipfile.ZipFile(tmp_path / 'old.pth', 'w') as old:
        for name in new.namelist():
            old.writestr(name.replace('new/', 'old/'), new.read(name).replace(b'numpy._core.', b'numpy.core.'))
    assert b'numpy.core.' in (tmp_path / 'old.pth').read_bytes()
    assert read_checkpoint(tmp_path / 'old.pth')['meta']['score'] == 0.5


@pytest.mark.parametrize('content', [b'', b'no checkpoint', b'(K\x00', bytes(range(256)), None])
def test_missing_and_damaged_files_say_so(tmp_path, content):
    file = tmp_path / 'a.pth'
    if content is None:
        with pytest.raises(FileNotFoundError, match=r'no checkpoint at .*a\.pth'):
            read_checkpoint(file)
        return
    file.write_bytes(content)
    with pytest.raises(ValueError, match='damaged'):
        read_checkpoint(file)


def test_a_truncated_file_says_so(tmp_path):
    torch.save(dict(weight=torch.randn(1000)), tmp_path / 'a.pth')
    data = (tmp_path / 'a.pth').read_bytes()
    (tmp_path / 'a.pth').write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match='damaged'):
        read_checkpoint(tmp_path / 'a.pth')


def test_bare_and_wrapped_weights_load(tmp_path):
    weights = nn.Linear(2, 3).state_dict()
    for content in (weights, dict(state_dict=weights), dict(state_dict={f'module.{k}': v for k, v in weights.items()})):
        torch.save(content, tmp_path / 'a.pth')
        model = nn.Linear(2, 3)
        load_weights(model, tmp_path / 'a.pth')
        assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize(
    'change, message',
    [
        (lambda w: w.pop('bias'), '1 weights missing in the file: bias'),
        (lambda w: w.update(extra=torch.ones(1)), '1 weights unknown to the model: extra'),
        (lambda w: w.update(weight=torch.ones(3, 4)), r'weight \(3, 4\), expected \(3, 2\)'),
    ],
)
def test_nothing_is_half_loaded(tmp_path, change, message):
    weights = nn.Linear(2, 3).state_dict()
    change(weights)
    torch.save(weights, tmp_path / 'a.pth')
    model = nn.Linear(2, 3)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(ValueError, match=message):
        load_weights(model, tmp_path / 'a.pth')
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize('hook, survivors', [(CheckpointHook, 0), (CrashSafeCheckpointHook, 1)])
def test_the_old_checkpoint_outlives_a_failed_save(tmp_path, hook, survivors):
    """With one checkpoint kept, MMEngine's own hook has none left when the second save dies."""
    runner = make_runner(tmp_path, epochs=3, checkpoint=dict(type=hook, interval=1, max_keep_ckpts=1))
    save, calls = runner.save_checkpoint, []

    def dying_save(*args, **kwargs):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        save(*args, **kwargs)

    runner.save_checkpoint = dying_save
    with pytest.raises(KeyboardInterrupt):
        runner.train()
    assert len(list(tmp_path.glob('epoch_*.pth'))) == survivors


def test_only_the_newest_checkpoints_and_the_best_are_kept(tmp_path):
    runner = make_runner(
        tmp_path,
        epochs=5,
        scores=[0.1, 0.5, 0.3, 0.2, 0.6],
        checkpoint=dict(type=CrashSafeCheckpointHook, interval=1, max_keep_ckpts=2, save_best='score', rule='greater'),
    )
    runner.train()
    assert sorted(path.name for path in tmp_path.glob('*.pth')) == [
        'best_score_epoch_5.pth',
        'epoch_4.pth',
        'epoch_5.pth',
    ]
