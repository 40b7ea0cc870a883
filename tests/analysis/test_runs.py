"""What runs left behind: of real trainings, and of folders that went wrong."""

import json
import os
import shutil
import time
from pathlib import Path

import mmengine
import pytest
import torch
from mmengine.config import Config

from askd_mmdet.analysis.runs import Run, differences, find_runs, flat, group_runs, resolution_of
from askd_mmdet.training.checkpoint import read_checkpoint
from askd_mmdet.training.config import load_config, moved
from tests.toy_run import ASKD, BASE, HR, toy_config, train


@pytest.fixture(scope='module')
def runs(toy_data, tmp_path_factory):
    """Teacher, base of two seeds and student, each trained for two epochs of four steps and validated once."""
    folder = tmp_path_factory.mktemp('runs')
    often = {
        'train_cfg.val_begin': 1,
        'train_cfg.val_interval': 2,
        'default_hooks.logger.interval': 1,
        'log_level': 'INFO',
    }
    teacher = folder / 'teacher/epoch_2.pth'
    for name, config, options in (
        ('teacher', HR, {}),
        ('base/seed0', BASE, {}),
        ('base/seed1', BASE, {'randomness.seed': 1}),
        ('student', ASKD, {}),
    ):
        train(
            toy_config(config, toy_data, folder / name, teacher=teacher if config == ASKD else None, **often, **options)
        )
    return folder


def test_a_run_is_what_was_trained(runs):
    run = Run.read(runs / 'student')
    assert (run.task, run.method, run.resolution, run.seed, run.state) == ('detection', 'A-SKD', '4x', 0, 'finished')
    assert run.checkpoint == runs / 'student/epoch_2.pth'
    assert sorted(run.steps) == list(range(1, 9)) and {line['epoch'] for line in run.steps.values()} == {1, 2}
    assert run.versions == f'torch {torch.__version__}, MMEngine {mmengine.__version__}'
    line = run.steps[3]
    assert line['loss'] == pytest.approx(
        sum(line[f'loss_{kind}'] for kind in ('cls', 'bbox', 'iou', 'attention')), 1e-4
    )
    assert list(run.validations) == [2]
    assert {'wider_face/easy', 'wider_face/hard'} <= set(run.metrics) and 'time' not in run.metrics
    assert Run.read(runs / 'teacher').method == 'HR teacher' and Run.read(runs / 'base/seed1').method == 'Base'


def test_runs_of_one_experiment_are_a_group(runs):
    groups = group_runs(find_runs([runs / 'student', runs]))
    assert [group.label for group in groups] == ['HR teacher 1x', 'Base 4x', 'A-SKD 4x']
    assert [[run.seed for run in group.runs] for group in groups] == [[0], [0, 1], [0]]
    differing = dict(differences(groups))
    assert differing['train_dataloader.dataset.pipeline.2.ratio'] == [1, 4, 4]
    weights = [value for name, value in differing.items() if name.endswith('loss_attention.weight')]
    assert weights == [[None, None, 5.0]]
    assert not [name for name in differing if 'seed' in name or 'work_dir' in name or 'checkpoint' in name]


@pytest.fixture
def restarted(runs, tmp_path):
    """A base's run, and the folder of a later start with the same log."""
    shutil.copytree(runs / 'base/seed0', tmp_path / 'run')
    (start,) = tmp_path.glob('run/*/vis_data')
    later = tmp_path / 'run/29991231_000000/vis_data'
    shutil.copytree(start, later)
    return tmp_path / 'run', later


def test_what_was_logged_before_a_restart_is_kept_up_to_it(restarted):
    folder, later = restarted
    lines = [json.dumps(dict(loss=9.0, epoch=2, iter=step, step=step)) for step in (5, 6)]
    (later / 'scalars.json').write_text('\n'.join([*lines, '{"loss": 1, "cut o']))
    run = Run.read(folder)
    assert sorted(run.steps) == [1, 2, 3, 4, 5, 6] and run.steps[5]['loss'] == 9 != run.steps[4]['loss']
    assert run.validations == {} and run.metrics == {}


def test_a_test_in_the_same_folder_is_no_training(restarted):
    folder, later = restarted
    text = (later / 'config.py').read_text()
    (later / 'config.py').write_text(text.replace('ratio=4', 'ratio=8'))
    (later / 'scalars.json').write_text(json.dumps({'wider_face/hard': 1.0, 'step': 0}))
    assert Run.read(folder).resolution == '4x'
    assert sorted(Run.read(folder).steps) == list(range(1, 9))


def add_test(folder, name, cfg, metrics, start='29991231_000000'):
    """What `askd test --work-dir FOLDER/NAME --out FOLDER/NAME/metrics.json` leaves behind."""
    (folder / name / start / 'vis_data').mkdir(parents=True)
    cfg.dump(folder / name / start / 'vis_data/config.py')
    for path in (folder / name / start / f'{start}.json', folder / name / 'metrics.json'):
        path.write_text(json.dumps(metrics))


@pytest.fixture
def tested(runs, tmp_path):
    """A base's run, and its config."""
    shutil.copytree(runs / 'base/seed0', tmp_path / 'run')
    return tmp_path / 'run', Run.read(tmp_path / 'run').cfg


@pytest.mark.parametrize('name, ratio, at', [('a', 8, '8x'), ('zz', 8, '8x'), ('a', 1, '1x')])
def test_tests_count_before_validations_unless_they_are_of_another_resolution(tested, name, ratio, at):
    folder, cfg = tested
    add_test(folder, 'test', cfg, {'wider_face/hard': 50.0})
    cfg.test_dataloader.dataset.pipeline[2].ratio = ratio
    add_test(folder, name, cfg, {'wider_face/hard': 60.0})
    run = Run.read(folder)
    assert run.metrics == {'wider_face/hard': 50.0}
    assert run.tested_at == {'4x': {'wider_face/hard': 50.0}, at: {'wider_face/hard': 60.0}}


def test_a_test_of_other_pictures_does_not_pass_for_the_own_one(tested):
    folder, cfg = tested
    cfg.test_dataloader.dataset.ann_file = 'other.txt'
    add_test(folder, 'other', cfg, {'wider_face/hard': 60.0})
    assert Run.read(folder).metrics == Run.read(folder).validations[2]  # in the absence of the own one
    assert Run.read(folder).tested_at == {'4x (other)': {'wider_face/hard': 60.0}}
    cfg.test_evaluator.prefix = 'sample'
    add_test(folder, 'sample', cfg, {'sample/hard': 70.0})
    assert Run.read(folder).metrics == {'sample/hard': 70.0}


def test_a_test_of_other_weights_than_the_newest_does_not_pass_for_the_own_one(tested):
    """As of the best epoch by the test itself."""
    folder, cfg = tested
    cfg.load_from = '/elsewhere/epoch_2.pth'
    add_test(folder, 'test', cfg, {'wider_face/hard': 50.0})
    cfg.load_from = str(folder / 'best_wider_face_hard_epoch_1.pth')
    add_test(folder, 'best', cfg, {'wider_face/hard': 60.0})
    run = Run.read(folder)
    assert run.checkpoint.name == 'epoch_2.pth' and run.metrics == {'wider_face/hard': 50.0}
    assert run.tested_at['4x (best)'] == {'wider_face/hard': 60.0}
    shutil.rmtree(folder / 'test')
    assert Run.read(folder).metrics == Run.read(folder).validations[2]


def test_a_validation_on_other_pictures_does_not_stand_for_the_test(tested):
    folder, _ = tested
    run = Run.read(folder)
    assert run.metrics == run.validations[2] != {}
    for name, value in (('ann_file', 'other.txt'), ('pipeline.2.ratio', 8)):
        other = Run.read(folder)
        other.cfg.merge_from_dict({f'val_dataloader.dataset.{name}': value})
        assert other.metrics == {} and other.validations == run.validations
        other.cfg.val_evaluator.prefix = 'own'  # so that nobody takes the one for the other
        assert other.metrics == run.metrics


def test_a_test_by_another_recipe_does_not_pass_for_the_own_one(tested):
    folder, cfg = tested
    cfg.test_dataloader.dataset.pipeline[2].recipe = 'camera-drone'
    add_test(folder, 'a', cfg, {'wider_face/hard': 60.0})
    cfg.test_dataloader.dataset.pipeline[2].recipe = 'paper'
    add_test(folder, 'test', cfg, {'wider_face/hard': 50.0})
    add_test(folder, 'test-flipped', cfg, {'wider_face/hard': 51.0})
    cfg.model.test_cfg.nms.iou_threshold = 0.1
    add_test(folder, 'other-nms', cfg, {'wider_face/hard': 49.0})
    cfg = Run.read(folder).cfg
    add_test(folder, 'test-repeated', cfg, {'wider_face/hard': 50.0})
    assert Run.read(folder).metrics == {'wider_face/hard': 50.0}
    assert Run.read(folder).tested_at.keys() == {'4x', '4x (a)', '4x (test-flipped)', '4x (other-nms)'}


def test_a_test_of_earlier_weights_is_not_read(tested):
    folder, cfg = tested
    add_test(folder, 'test', cfg, {'wider_face/hard': 50.0}, start='20010101_000000')
    assert Run.read(folder).tests == {}
    shutil.copytree(folder / 'test/20010101_000000', folder / 'test/29991231_000000')
    (folder / 'test/29991231_000000/20010101_000000.json').unlink()  # a later one that failed
    assert Run.read(folder).tests == {}
    add_test(folder, 'lost', cfg, {'wider_face/hard': 50.0})
    shutil.rmtree(folder / 'lost/29991231_000000')  # and with it what was tested
    assert Run.read(folder).tests == {} and Run.read(folder).metrics == Run.read(folder).validations[2]


def test_fractions_of_coco_are_read_as_percents(tested):
    folder, cfg = tested
    add_test(folder, 'test', cfg, {'coco/bbox_mAP': 0.345})
    assert Run.read(folder).metrics == {'coco/bbox_mAP': pytest.approx(34.5)}
    (log,) = folder.glob('2*/vis_data/scalars.json')
    log.write_text(log.read_text() + json.dumps({'coco/bbox_mAP': 0.25, 'step': 3}))
    assert Run.read(folder).validations[3] == {'coco/bbox_mAP': 25.0}


def test_an_hr_network_that_is_tested_on_real_lr_pictures_is_tested_at_their_resolution(tmp_path):
    cfg = load_config('askd_mmdet::recognition/arcface_ir50-cbam_casia.py')
    tests = {'tinyface': (dict(rank=30.0), load_config('askd_mmdet::recognition/arcface_ir50-cbam_casia-24px.py'))}
    assert Run(tmp_path, cfg, tests=tests).tested_at == {'24px': dict(rank=30.0)}


def changed(name, **options):
    cfg = load_config(f'askd_mmdet::{name}.py')
    cfg.merge_from_dict(options)
    return Run(Path(name), cfg)


def test_runs_of_one_kind_share_network_pictures_and_setting():
    base, student = 'small/tinaface_r50-bn-cbam_masks-4x', 'small/tinaface_r50-bn-cbam_masks-4x_askd'
    run = changed(base)
    assert run.kind == changed(student).kind
    assert run.kind == changed(base, **{'train_dataloader.dataset.data_root': '/mnt/masks'}).kind
    assert run.learns == changed('small/tinaface_r50-bn-cbam_masks').learns
    for options in (
        {'train_dataloader.dataset.data_root': '/mnt/toys/'},
        {'train_dataloader.dataset.ann_file': 'more.txt'},
        {'test_dataloader.dataset.ann_file': 'other.txt'},
        {'model.backbone.depth': 101},
    ):
        assert run.kind != changed(base, **options).kind, options
    assert run.kind != changed('toy/tinaface_r50-bn-cbam_toy-4x').kind


@pytest.mark.parametrize(
    'options',
    [
        {'load_from': 'pretrained.pth'},
        {'train_dataloader.dataset.data_root': 'data/toys/'},
        {'train_cfg.max_epochs': 3},
    ],
)
def test_what_differs_in_more_than_its_seed_is_another_network(options):
    name = 'small/tinaface_r50-bn-cbam_masks-4x'
    assert len(group_runs([changed(name), changed(name, **options, **{'randomness.seed': 1})])) == 2


def test_a_network_that_was_interrupted_and_resumed_is_no_other():
    name, seed = 'small/tinaface_r50-bn-cbam_masks-4x', {'randomness.seed': 1}
    for options in (dict(load_from=None), dict(resume=True, load_from='epoch_3.pth'), dict(resume='auto')):
        assert len(group_runs([changed(name), changed(name, **seed, **options)])) == 1, options


def test_a_network_of_other_first_weights_stays_another_when_it_is_resumed():
    name, begun = 'small/tinaface_r50-bn-cbam_masks-4x', dict(load_from='pretrained.pth')
    scratch, fresh = changed(name), changed(name, **begun)
    resumed = changed(name, **{'randomness.seed': 1}, **begun, resume='auto')
    assert [group.runs for group in group_runs([scratch, fresh, resumed])] == [[scratch], [fresh, resumed]]


@pytest.mark.parametrize(
    'name',
    [
        'small/tinaface_r50-bn-cbam_masks-4x',
        'small/arcface_ir18-cbam_faces-6px',
        'detection/tinaface_r50-bn-cbam_coco-4x',
    ],
)
def test_a_network_whose_data_lie_elsewhere_is_no_other(name):
    runs = [changed(name), changed(name, **{'randomness.seed': 1})]
    elsewhere = Run(runs[1].folder, Config(moved(runs[1].cfg.to_dict(), '/mnt/sets')))
    assert '/mnt/sets' in str(elsewhere.cfg) and elsewhere.cfg != runs[1].cfg
    assert len(group_runs([runs[0], elsewhere])) == 1


def test_runs_behind_links_are_found_and_circles_end(runs, tmp_path):
    (tmp_path / 'work').mkdir()
    (tmp_path / 'work/student').symlink_to(runs / 'student')
    (tmp_path / 'work/round').symlink_to(tmp_path / 'work')
    assert [run.folder for run in find_runs([tmp_path / 'work'])] == [tmp_path / 'work/student']


def test_a_seed_that_comes_again_is_another_network():
    def run(folder, seed):
        found = changed('small/tinaface_r50-bn-cbam_masks-4x_askd', **{'randomness.seed': seed})
        return Run(Path(folder, f'seed{seed}'), found.cfg)

    runs = [run('real', 0), *(run('untrained', seed) for seed in (0, 1, 2))]
    groups = group_runs(runs)
    assert [group.runs for group in groups] == [runs[:1], runs[1:]]
    assert [group.label for group in groups] == ['A-SKD 4x (real)', 'A-SKD 4x (untrained)']
    alone = [Run(Path(name), runs[0].cfg) for name in ('a', 'b')]
    assert [group.runs for group in group_runs(alone)] == [alone[:1], alone[1:]]


def test_states(runs, tmp_path):
    folder = tmp_path / 'run'
    shutil.copytree(runs / 'base/seed0', folder)
    (folder / 'epoch_2.pth').unlink()
    assert Run.read(folder).state == 'still going, epoch 1 of 2'
    long_ago = time.time() - 3600
    for path in folder.glob('*/vis_data/*.json'):
        os.utime(path, (long_ago, long_ago))
    assert Run.read(folder).state == 'interrupted, epoch 1 of 2'
    (folder / 'epoch_1.pth').unlink()
    with pytest.raises(FileNotFoundError, match=r'has no checkpoint .*train it on, or leave it out'):
        Run.read(folder).checkpoint  # noqa: B018
    for path in folder.glob('*/vis_data/*.json'):
        path.unlink()
    assert Run.read(folder).metrics == {} and Run.read(folder).steps == {}


def test_what_cannot_be_compared_is_refused(runs, tmp_path):
    with pytest.raises(FileNotFoundError, match=r'no run in .*: expected the --work-dir of askd train or askd table'):
        find_runs([tmp_path])
    with pytest.raises(FileNotFoundError, match='is no run'):
        Run.read(tmp_path)
    other = tmp_path / 'other'
    shutil.copytree(runs / 'teacher', other)
    checkpoint = read_checkpoint(other / 'epoch_2.pth')
    assert checkpoint['meta']['dataset_meta']['classes'] == ('face',)
    checkpoint['meta']['dataset_meta']['classes'] = ('mask', 'face')
    torch.save(checkpoint, other / 'epoch_2.pth')
    with pytest.raises(ValueError, match=r'their classes differ, \(face\) and \(mask, face\)'):
        find_runs([runs, other])
    (config,) = other.glob('*/vis_data/config.py')
    config.write_text('model = dict(')
    with pytest.raises(ValueError, match='cannot be read: SyntaxError'):
        find_runs([other])
    config.write_text(load_config('askd_mmdet::toy/arcface_ir18-cbam_toy.py').pretty_text)
    (other / 'epoch_2.pth').unlink()
    (other / 'epoch_1.pth').unlink()
    with pytest.raises(ValueError, match='their task differ, detection and recognition'):
        find_runs([runs, other])


@pytest.mark.parametrize(
    'name, expected',
    [
        ('detection/tinaface_r50-bn-cbam_widerface-16x_askd', '16x'),
        ('recognition/arcface_ir50-cbam_casia-24px', '24px'),
        ('recognition/arcface_ir50-cbam_casia', '1x'),
        ('examples/faster-rcnn_r50-cbam_coco-4x', '4x'),
        ('classification/resnet18-cbam_cifar10-4x', '4x'),
    ],
)
def test_resolutions(name, expected):
    assert resolution_of(load_config(f'askd_mmdet::{name}.py')) == expected


@pytest.mark.parametrize(
    'name, expected',
    [
        ('recognition/arcface_ir50-cbam_casia', '1x'),
        ('recognition/arcface_ir50-cbam_casia-24px', '24px'),
        ('recognition/arcface_ir50-cbam_casia-4x-authors', '4x, authors'),
        ('recognition/arcface_ir50-cbam_casia-24px-authors', '24px, trained on authors'),
        ('detection/tinaface_r50-bn-cbam_widerface-16x', '16x'),
        ('detection/tinaface_r50-bn-cbam_widerface-1x2x4x8x16x', '16x, trained at 1/2/4/8/16x'),
    ],
)
def test_settings_say_what_a_network_was_trained_on(name, expected):
    assert Run(Path(name), load_config(f'askd_mmdet::{name}.py')).setting == expected


def test_an_hr_network_is_no_base_where_its_own_test_is_of_lr_pictures():
    cfg = load_config(f'askd_mmdet::toy/{HR}.py')
    cfg.test_dataloader.dataset.pipeline[2].ratio = 4
    assert Run(Path('hr'), cfg).setting == '4x, trained at 1x'


def test_networks_that_saw_other_pictures_stand_apart():
    runs = []
    for name in (ASKD, BASE, HR):
        cfgs = [load_config(f'askd_mmdet::toy/{name}.py') for _ in range(3)]
        cfgs[0].train_dataloader.dataset.pipeline[2].ratio = [1, 2, 4, 8]
        for split in ('train', 'test'):
            cfgs[1][f'{split}_dataloader'].dataset.pipeline[2].recipe = 'authors'
        runs += [Run(Path(f'{name}-{i}/seed0'), cfg) for i, cfg in enumerate(cfgs)][2 * (name == HR) :]
    labels = [
        f'{method} 4x{rest}' for rest in ('', ', authors', ', trained at 1/2/4/8x') for method in ('Base', 'A-SKD')
    ]
    assert [group.label for group in group_runs(runs)] == ['HR teacher 1x', *labels]


def test_the_resolution_of_a_test_is_its_own_where_a_hook_trains_at_several():
    hook = dict(type='LowResolutionHook', ratio=[1, 4], test_ratio=2)
    assert resolution_of(Config(dict(custom_hooks=[hook]))) == '2x'


def test_settings_by_dotted_name():
    assert dict(flat(dict(a=[dict(b=1), 2], c={}, d=[[3]]))) == {'a.0.b': 1, 'a.1': 2, 'c': {}, 'd.0.0': 3}
