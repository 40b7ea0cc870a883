"""Checkpoints: no code runs, nothing is half-loaded, and a kill loses nothing."""

import pickle
import random
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import numpy as np
import pytest
import torch
from mmengine.hooks import CheckpointHook
from mmengine.logging import HistoryBuffer
from mmengine.runner import CheckpointLoader
from torch import nn

from askd_mmdet.training import CrashSafeCheckpointHook, load_weights, read_checkpoint
from askd_mmdet.training.checkpoint import use_safe_loading
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


def snapshot(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def equal(model, weights):
    return all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())


def network():
    return nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))


def test_a_flipped_bit_of_a_weight_is_found(tmp_path):
    weights = nn.Linear(2, 3).state_dict()
    torch.save(weights, tmp_path / 'a.pth')
    data = bytearray((tmp_path / 'a.pth').read_bytes())
    data[data.find(weights['weight'].numpy().tobytes()) + 3] ^= 1 << 6
    (tmp_path / 'a.pth').write_bytes(data)
    with pytest.raises(ValueError, match=r'a\.pth is damaged \(in its part a/data/0\); delete it'):
        read_checkpoint(tmp_path / 'a.pth')


def test_a_weight_that_became_a_folder_is_found(tmp_path):
    """The checksum holds, and yet torch would fill the weight with whatever the memory held."""
    torch.save(nn.Linear(2, 3).state_dict(), tmp_path / 'a.pth')
    data = bytearray((tmp_path / 'a.pth').read_bytes())
    entry = data.rfind(b'PK\1\2', 0, data.rfind(b'a/data/0'))
    data[entry + 38] |= 0x10  # of the external attributes, as DOS marks a folder
    (tmp_path / 'a.pth').write_bytes(data)
    with zipfile.ZipFile(tmp_path / 'a.pth') as archive:
        assert archive.testzip() is None
    with pytest.raises(ValueError, match=r'damaged \(in its part a/data/0\)'):
        read_checkpoint(tmp_path / 'a.pth')


def test_the_format_before_torch_1_6_is_read_though_nothing_guards_it(tmp_path):
    weights = nn.Linear(2, 3).state_dict()
    save = partial(torch.save, f=tmp_path / 'old.pth', _use_new_zipfile_serialization=False)
    save(dict(state_dict=weights, meta=dict(epoch=3)))
    model = nn.Linear(2, 3)
    load_weights(model, tmp_path / 'old.pth')
    assert equal(model, weights)
    # A damaged type of numpy data could have numpy follow numbers as pointers.
    save(dict(state_dict=weights, meta=dict(score=np.float64(0.5))))
    with pytest.raises(ValueError, match=r'old\.pth is not a checkpoint that can be read safely'):
        read_checkpoint(tmp_path / 'old.pth')


@pytest.mark.filterwarnings('ignore:Detected pickle protocol')
@pytest.mark.parametrize('new', [True, False])
def test_damage_anywhere_is_found_or_does_no_harm(tmp_path, new):
    """Without checksums weights may be wrong, yet nothing else happens: no other error, no half of a model."""
    trained, file = network(), tmp_path / 'a.pth'
    truth = snapshot(trained)
    content = dict(state_dict=truth, meta=dict(epoch=1), **dict(hub=HistoryBuffer([1.0], [1])) if new else {})
    torch.save(content, file, _use_new_zipfile_serialization=new)
    data, outcomes = file.read_bytes(), set()
    for seed in range(250):
        rng, damaged = random.Random(seed), bytearray(data)
        place = rng.randrange(len(data))
        match rng.randrange(3):
            case 0:
                damaged[place] ^= 1 << rng.randrange(8)
            case 1:
                del damaged[place : place + rng.randrange(1, 20)]
            case 2:
                damaged[place:place] = rng.randbytes(rng.randrange(1, 9))
        file.write_bytes(damaged)
        model = network()
        before = snapshot(model)
        try:
            load_weights(model, file)
        except ValueError as error:
            outcomes.add('refused')
            assert str(file) in str(error) and equal(model, before), seed
        else:
            outcomes.add('loaded')
            assert not new or equal(model, truth), seed
    assert outcomes == {'refused', 'loaded'}


@pytest.mark.parametrize(
    'change, message',
    [
        (lambda w: dict(state_dict=None), "'state_dict' that is NoneType"),
        (lambda w: dict(state_dict=[w]), "'state_dict' that is list"),
        (lambda w: w | dict(bias=[0.0] * 3), "'bias', list"),
        (lambda w: w | dict(bias=np.zeros(3)), "'bias', ndarray"),
        (lambda w: dict(state_dict=w | dict(bias=None)), "'bias', NoneType"),
        (lambda w: dict(model=w), "'model', (dict|OrderedDict)"),
        (lambda w: w | {7: torch.ones(1)}, '7, torch.strided torch.float32'),
        (lambda w: w | dict(bias=torch.zeros(3).to_sparse()), "'bias', torch.sparse_coo"),
        (lambda w: w | dict(bias=torch.zeros(3, dtype=torch.complex64)), "'bias', torch.strided torch.complex64"),
        (lambda w: w | dict(bias=torch.zeros(3).to(torch.float8_e4m3fn)), "'bias', torch.strided torch.float8_e4m3fn"),
        (lambda w: w | dict(weight=w['weight'] / 0), '1 weights are not finite: weight'),
        (
            lambda w: dict(state_dict=w | dict(bias=torch.tensor([0, float('nan'), 0]))),
            'not finite: bias',
        ),
    ],
)
def test_what_is_no_weight_is_refused_before_anything_is_loaded(tmp_path, change, message):
    torch.save(change(dict(nn.Linear(2, 3).state_dict())), tmp_path / 'a.pth')
    model = nn.Linear(2, 3)
    before = snapshot(model)
    with pytest.raises(ValueError, match=rf'a\.pth: .*{message}'):
        load_weights(model, tmp_path / 'a.pth')
    assert equal(model, before)


@pytest.fixture
def served(tmp_path, monkeypatch):
    """A folder, and its address on the web."""
    folder = tmp_path / 'served'
    folder.mkdir()
    handler = partial(SimpleHTTPRequestHandler, directory=folder)
    handler.func.log_message = lambda *args: None
    server = ThreadingHTTPServer(('127.0.0.1', 0), handler)
    Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(torch.hub, '_hub_dir', str(tmp_path / 'hub'))
    yield folder, f'http://127.0.0.1:{server.server_port}'
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize('scheme', ['http', 'torchvision'])
def test_downloads_are_verified_too(served, tmp_path, monkeypatch, scheme):
    folder, address = served
    weights = nn.Linear(2, 3).state_dict()
    torch.save(weights, folder / 'good.pth')
    data = bytearray((folder / 'good.pth').read_bytes())
    data[data.find(weights['weight'].numpy().tobytes())] ^= 1
    (folder / 'bad.pth').write_bytes(data)
    use_safe_loading()
    urls = {name: f'{address}/{name}.pth' for name in ('good', 'bad')}
    monkeypatch.setattr('mmengine.runner.checkpoint.get_torchvision_models', lambda: urls)
    good, bad = (urls[name] if scheme == 'http' else f'torchvision://{name}' for name in urls)
    for _ in range(2):  # downloaded, and found
        assert torch.equal(CheckpointLoader.load_checkpoint(good, 'cpu')['weight'], weights['weight'])
        with pytest.raises(ValueError, match=r'hub/checkpoints/\w{8}/bad\.pth is damaged'):
            CheckpointLoader.load_checkpoint(bad, 'cpu')
        (folder / 'good.pth').unlink(missing_ok=True)


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


def test_a_download_that_fails_says_where_the_file_goes_and_how_to_do_without(tmp_path, monkeypatch):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    place = tmp_path / 'hub/checkpoints/resnet50-0a1b2c3d.pth'
    with pytest.raises(OSError, match=f'put the file there yourself, as {place}, or, .*init_cfg=None'):
        load_weights(torch.nn.Linear(1, 1), f'http://127.0.0.1:9/{place.name}')  # where nobody listens
    torch.save(torch.nn.Linear(1, 1).state_dict(), place)
    load_weights(torch.nn.Linear(1, 1), f'http://127.0.0.1:9/{place.name}')


def test_downloads_of_one_name_are_not_taken_for_each_other(tmp_path, monkeypatch):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'home'))
    for seed in (0, 1):
        (tmp_path / f'seed{seed}').mkdir()
        torch.save(dict(weight=torch.full((1, 1), seed), bias=torch.zeros(1)), tmp_path / f'seed{seed}/epoch_20.pth')
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        for seed in (0, 1, 0):
            model = torch.nn.Linear(1, 1)
            load_weights(model, f'http://127.0.0.1:{server.server_port}/seed{seed}/epoch_20.pth')
            assert model.weight.item() == seed
        server.shutdown()


def test_a_path_may_begin_at_home(tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path))
    torch.save(torch.nn.Linear(1, 1).state_dict(), tmp_path / 'a.pth')
    load_weights(torch.nn.Linear(1, 1), '~/a.pth')
