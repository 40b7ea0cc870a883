"""A teacher's outputs on disk: what they are, who computes them, and when they are refused."""

import json
import shutil
import subprocess
from collections import namedtuple

import numpy as np
import pytest
import torch
from mmengine.registry import RUNNERS

import askd_mmdet.distillation.store as store_module
from askd_mmdet.recognition import FaceRecordDataset
from askd_mmdet.training import build_model, load_weights, read_checkpoint
from tests.recognition.test_training import ASKD, HR, toy_config
from tests.toy_run import COMMAND, ROOT, distillation, train


@pytest.fixture(scope='module')
def teacher(toy_faces, tmp_path_factory):
    work_dir = tmp_path_factory.mktemp('recognizer')
    RUNNERS.build(toy_config(HR, toy_faces, work_dir)).train()
    return work_dir / 'epoch_1.pth'


@pytest.fixture
def config(toy_faces, teacher, tmp_path):
    """Makes a student's config whose teacher's outputs lie in `tmp_path/maps`."""

    def make(name='student', **options):
        cfg = toy_config(ASKD, toy_faces, tmp_path / name, teacher, **options)
        distillation(cfg).store = str(tmp_path / 'maps')
        return cfg

    return make


def contents(folder):
    return {file.name: (file.read_bytes(), file.stat().st_mtime_ns) for file in folder.iterdir()}


def test_a_student_learns_from_the_store_what_it_learns_from_the_teacher(config):
    cfg = config('seen', **{'train_dataloader.batch_size': 12})
    start = RUNNERS.build(cfg).model.state_dict()
    del distillation(cfg)['store']
    seen, (expected,) = train(cfg)
    stored, (found,) = train(config('stored', **{'train_dataloader.batch_size': 12}))
    assert found['loss_arcface'] == expected['loss_arcface']  # of the same LR pictures, to the last bit
    assert found == pytest.approx(expected, rel=1e-3)  # float16 has a precision of 5e-4
    theirs, ours = seen.model.state_dict(), stored.model.state_dict()
    for name, _ in seen.model.named_parameters():
        update = theirs[name] - start[name]
        assert torch.dist(ours[name], theirs[name]) <= 1e-2 * update.norm() + 1e-7
        assert update.norm() > 0


def test_the_correlation_is_logged_with_a_store_as_without(config):
    found = []
    for stored in (True, False):
        cfg = config(str(stored), **{'train_cfg.val_begin': 1, 'train_dataloader.batch_size': 12})
        distillation(cfg).store = stored and distillation(cfg).store
        runner, _ = train(cfg)
        found.append({k: v.current() for k, v in runner.message_hub.log_scalars.items() if 'correlation' in k})
    assert found[0] and found[0] == pytest.approx(found[1], abs=1e-2)


def test_pictures_come_without_their_hr_twins(config):
    runner = RUNNERS.build(config())
    for hook in runner.hooks:
        if type(hook).__name__ == 'DistillationHook':
            hook.before_train(runner)
    assert 'hr_inputs' not in next(iter(runner.train_dataloader))


def test_the_store_holds_what_the_teacher_puts_out_for_a_picture_and_its_mirror_image(
    config, toy_faces, teacher, tmp_path
):
    cfg = config()
    train(cfg)
    network = build_model(cfg).eval()
    load_weights(network, teacher)
    outputs = []
    for name, module in network.named_modules():
        if name.endswith(('channel_attention', 'spatial_attention')):
            module.register_forward_hook(lambda module, inputs, output, name=name: outputs.append((name, output)))
    pictures = FaceRecordDataset(str(toy_faces / 'train.rec'), pipeline=[dict(type='LoadPicture')])
    rows = np.load(tmp_path / 'maps/000000000.npy')
    assert rows.dtype == np.float16 and rows.shape[:2] == (len(pictures), 2)
    for i in (0, 7):
        for flip in (0, 1):
            image = pictures[i]['img'][:, :: 1 - 2 * flip]
            assert image.shape == (112, 112, 3)
            outputs.clear()
            tensor = torch.from_numpy(image.transpose(2, 0, 1).copy())
            with torch.no_grad():
                network(network.data_preprocessor(dict(inputs=[tensor]))['inputs'], mode='tensor')
            kinds = [
                [o.flatten() for name, o in outputs if name.endswith(kind)]
                for kind in ('channel_attention', 'spatial_attention')
            ]
            expected = torch.cat([*kinds[0], *kinds[1]])
            assert expected.norm() > 0
            torch.testing.assert_close(torch.from_numpy(rows[i, flip]).float(), expected, rtol=2e-3, atol=1e-3)


def test_what_is_there_is_computed_for_no_other_student_and_what_is_missing_goes_on(config, tmp_path, monkeypatch):
    monkeypatch.setattr(store_module, '_PICTURES', 5)
    train(config())
    done = contents(tmp_path / 'maps')
    assert len(done) == 4  # 12 pictures and the note
    cfg = config('other')
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        loader.dataset.pipeline[-1].ratio = 2  # the degradation is no matter of the teacher's
    train(cfg)
    assert contents(tmp_path / 'maps') == done
    (tmp_path / 'maps/000000005.npy').unlink()
    train(config('resumed'))
    again = contents(tmp_path / 'maps')
    assert {name: content for name, (content, _) in again.items()} == {name: c for name, (c, _) in done.items()}
    assert [name for name in done if again[name] != done[name]] == ['000000005.npy']


def test_two_trainings_at_once_make_one_store(config, toy_faces, tmp_path):
    configs = [config(name, **{'train_dataloader.num_workers': 1}) for name in ('one', 'two')]
    for cfg in configs:
        cfg.dump(tmp_path / f'{cfg.work_dir}.py')
    command = [*COMMAND, 'train']
    runs = [subprocess.Popen([*command, f'{cfg.work_dir}.py', '--work-dir', cfg.work_dir], cwd=ROOT) for cfg in configs]
    assert [run.wait() for run in runs] == [0, 0]
    assert sorted(file.name for file in (tmp_path / 'maps').iterdir()) == ['000000000.npy', 'made_of.json']
    one, two = (read_checkpoint(f'{cfg.work_dir}/epoch_1.pth')['state_dict'] for cfg in configs)
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_every_process_computes_in_an_order_of_its_own(config, monkeypatch):
    """In one order students that start together would compute all of it side by side."""
    monkeypatch.setattr(store_module, '_PICTURES', 1)
    orders, compute = [], store_module.StoredTeacher._compute

    def watch(self, files, *args):
        orders.append([file.name for file in files])
        compute(self, files, *args)

    monkeypatch.setattr(store_module.StoredTeacher, '_compute', watch)
    for name in ('one', 'two'):
        cfg = config(name)
        distillation(cfg).store += name
        train(cfg)
    assert len(orders) == 2 and orders[0] != orders[1]
    assert sorted(orders[0]) == sorted(orders[1]) == [f'{i:09}.npy' for i in range(12)]


def test_a_store_serves_wherever_the_same_pictures_lie(config, toy_faces, tmp_path):
    train(config())
    done = contents(tmp_path / 'maps')
    moved = tmp_path / 'elsewhere' / toy_faces.name
    shutil.copytree(toy_faces, moved)
    cfg = config('moved')
    cfg.train_dataloader.dataset = json.loads(
        json.dumps(cfg.train_dataloader.dataset).replace(str(toy_faces), str(moved))
    )
    assert str(moved) in str(cfg.train_dataloader.dataset)
    train(cfg)
    assert contents(tmp_path / 'maps') == done


def other_weights(cfg, folder):
    weights = read_checkpoint(distillation(cfg).checkpoint)['state_dict']
    next(iter(weights.values())).add_(1)
    torch.save(weights, folder / 'other.pth')
    distillation(cfg).checkpoint = str(folder / 'other.pth')


def other_pipeline(cfg, folder):
    cfg.train_dataloader.dataset.pipeline[2].prob = 0.25


def other_pictures(cfg, folder):
    shutil.copytree(cfg.train_dataloader.dataset.data_root, folder / 'data')
    record = bytearray((folder / 'data/train.rec').read_bytes())
    record[len(record) // 2] ^= 1
    (folder / 'data/train.rec').write_bytes(record)
    cfg.train_dataloader.dataset.data_root = str(folder / 'data')


def other_taps(cfg, folder):
    distillation(cfg).losses.loss_attention.channel = '*.0.*channel_attention'


@pytest.mark.parametrize(
    'change, named',
    [(other_weights, 'weights'), (other_pipeline, 'pipeline'), (other_pictures, 'pictures'), (other_taps, 'taps')],
)
def test_a_store_of_something_else_is_refused_by_name(config, tmp_path, change, named):
    train(config())
    cfg = config('other')
    change(cfg, tmp_path)
    with pytest.raises(ValueError, match=f'computed from other {named} than this training has; name another folder'):
        train(cfg)


@pytest.mark.parametrize('file, message', [('000000000.npy', 'cannot read'), ('made_of.json', 'no description')])
def test_a_damaged_store_is_refused_with_the_file(config, tmp_path, file, message):
    train(config())
    path = tmp_path / 'maps' / file
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ValueError, match=f'(?s){message}.*{file}.*delete'):
        train(config('other'))


@pytest.mark.parametrize(
    'step, message',
    [
        (dict(type='ColorJitter', brightness=0.5), 'two passes through .*ColorJitter.* made two pictures'),
        (dict(type='RandomFlip', prob=0.5), 'for one RandomFlip'),
        (dict(type='RandomFlip', prob=[0.2, 0.2], direction=['horizontal', 'vertical']), 'for one RandomFlip'),
    ],
)
def test_a_pipeline_that_draws_more_than_a_flip_is_refused(config, step, message):
    cfg = config()
    cfg.train_dataloader.dataset.pipeline.insert(2, step)
    with pytest.raises(ValueError, match=message):
        train(cfg)


def test_a_pipeline_without_a_flip_needs_none_in_its_samples(config, tmp_path):
    found = []
    for stored in (False, True):
        cfg = config(str(stored), **{'train_dataloader.batch_size': 12})
        del cfg.train_dataloader.dataset.pipeline[2]
        distillation(cfg).store = stored and distillation(cfg).store
        found.append(train(cfg)[1][0])
    assert found[1] == pytest.approx(found[0], rel=1e-3)


@pytest.mark.parametrize('wrapper, inner', [('RepeatDataset', False), ('ConcatDataset', True)])
def test_one_data_set_may_be_wrapped_and_several_are_refused(config, tmp_path, wrapper, inner):
    cfg = config()
    dataset = cfg.train_dataloader.dataset
    if inner:
        cfg.train_dataloader.dataset = dict(type=wrapper, datasets=[dataset, dataset])
        with pytest.raises(ValueError, match=r"found \['FaceRecordDataset', 'FaceRecordDataset'\]; train without"):
            train(cfg)
    else:
        cfg.train_dataloader.dataset = dict(type=wrapper, dataset=dataset, times=2)
        assert len(train(cfg)[1]) == 4
        assert np.load(tmp_path / 'maps/000000000.npy').shape[0] == 12


def test_too_large_a_store_is_refused_before_it_is_computed(config, tmp_path, monkeypatch):
    usage = namedtuple('usage', 'total used free')
    monkeypatch.setattr(store_module.shutil, 'disk_usage', lambda path: usage(100, 0, 100))
    with pytest.raises(ValueError, match=r'12 pictures and their mirror images take 0\.\d+ GB'):
        train(config())
    assert not list((tmp_path / 'maps').iterdir())


def test_numbers_beyond_float16_are_refused(config, teacher, tmp_path):
    cfg = config()
    weights = read_checkpoint(teacher)
    for name, value in weights['state_dict'].items():
        if 'spatial_attention' in name and value.is_floating_point():
            value *= 1e6
    torch.save(weights, tmp_path / 'huge.pth')
    distillation(cfg).checkpoint = str(tmp_path / 'huge.pth')
    with pytest.raises(ValueError, match='beyond 65504'):
        train(cfg)


def test_an_unreadable_picture_is_replaced_as_ever(config, toy_faces, tmp_path):
    data = tmp_path / 'data'
    shutil.copytree(toy_faces, data)
    record = (data / 'train.rec').read_bytes()
    start = record.index(b'\xff\xd8', len(record) // 2)
    (data / 'train.rec').write_bytes(record[:start] + bytes(200) + record[start + 200 :])
    cfg = config()
    cfg.train_dataloader.dataset.data_root = str(data)
    _, steps = train(cfg)
    assert all(np.isfinite(list(step.values())).all() for step in steps)
    rows = np.load(tmp_path / 'maps/000000000.npy')
    assert np.isnan(rows).all((1, 2)).sum() == 1 and not np.isnan(rows).all((1, 2))[0]


def test_samples_that_do_not_say_which_they_are_are_refused(config):
    cfg = config()
    cfg.train_dataloader.dataset.pipeline[-1].transforms[0].meta_keys = ['img_path']
    with pytest.raises(ValueError, match="samples have no 'sample_idx'; add"):
        train(cfg)


def test_the_note_tells_what_the_outputs_are(config, tmp_path):
    train(config())
    note = json.loads((tmp_path / 'maps/made_of.json').read_text())
    assert note['made_of'].keys() == {'network', 'weights', 'taps', 'pipeline', 'pictures'}
    assert (
        sum(np.prod(shape) for shapes in note['shapes'].values() for shape in shapes)
        == np.load(tmp_path / 'maps/000000000.npy').shape[2]
    )
