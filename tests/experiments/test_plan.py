"""Definitions of tables, and the trainings and tests that follow from them."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmengine.config import Config
from mmengine.registry import METRICS

import askd_mmdet.classification
import askd_mmdet.detection
import askd_mmdet.recognition  # noqa: F401, all of which register metrics
from askd_mmdet.experiments import Plan, Table
from askd_mmdet.experiments.plan import transplant
from askd_mmdet.experiments.runs import Launch, make_jobs
from askd_mmdet.training.launch import distillation_of
from tests.toy_run import ROOT

TABLES = sorted(path.stem for path in (ROOT / 'configs/tables').glob('*.py'))
SETTINGS = st.recursive(
    st.none() | st.integers(0, 3) | st.sampled_from(['a', 'b']),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(['type', 'x', 'y']), inner, max_size=3),
    max_leaves=8,
)


def read(name):
    return Table.named(name)


def plan(name, tmp_path, seeds=(0,), **settings):
    return Plan(read(name), list(seeds), tmp_path, **settings)


@given(SETTINGS, SETTINGS)
def test_a_difference_carried_over_to_its_origin_is_the_changed_one(original, changed):
    assert transplant(original, changed, original) == changed


@given(SETTINGS, SETTINGS)
def test_no_difference_changes_nothing(target, original):
    assert transplant(target, original, original) == target


@pytest.mark.parametrize('suffix', ['-8x', '-8x_askd'])
def test_the_toy_of_a_row_is_the_toy_config_that_was_written_by_hand(suffix):
    toy, by_hand, real, hr = (
        Config.fromfile(ROOT / f'configs/{name}.py').to_dict()
        for name in (
            'toy/arcface_ir18-cbam_toy',
            f'toy/arcface_ir18-cbam_toy{suffix}',
            f'recognition/arcface_ir50-cbam_casia{suffix}',
            'recognition/arcface_ir50-cbam_casia',
        )
    )
    found = transplant(toy, real, hr)
    for cfg in (found, by_hand):  # the teachers are the real and the toy one
        if hook := distillation_of(cfg):
            del hook['teacher'], hook['checkpoint']
    assert found == by_hand


@pytest.mark.parametrize('name', TABLES)
def test_every_definition_makes_a_plan_in_which_teachers_come_first(name, tmp_path):
    found = plan(name, tmp_path, seeds=(3, 5))
    assert len(found.tests) == 2 * len(found.rows) * len(found.table.tests)
    seen = set()
    for training in found.trainings.values():
        assert training.cfg.randomness.seed == training.seed
        if training.teacher:
            hook = distillation_of(training.cfg)
            assert training.teacher in seen and training.teacher.seed == training.seed
            assert hook.checkpoint == str(training.teacher.checkpoint)
            assert hook.teacher.model == training.teacher.cfg.model
            assert not distillation_of(training.teacher.cfg)
        seen.add(training)
    assert len({training.work_dir for training in seen}) == len(seen)
    assert len({test.work_dir for test in found.tests}) == len(found.tests)


@pytest.mark.parametrize('name', TABLES)
def test_every_column_is_measured_by_one_test_and_every_test_measures_one(name, tmp_path):
    found = plan(name, tmp_path)
    measured = set()
    for test in found.tests:
        metric = test.cfg.test_evaluator
        with METRICS.switch_scope_and_registry(test.cfg.default_scope) as registry:
            measured.add((test.name, metric.get('prefix') or registry.get(metric.type).default_prefix))
    used = set()
    for key in found.table.columns.values():
        wanted, _, metric = key.rpartition(': ')
        (source,) = [test for test in measured if test[1] == metric.partition('/')[0] and wanted in ('', test[0])]
        used.add(source)
    assert used == measured


def test_the_papers_figures_are_those_of_its_text():
    """The gains that sections 4.2, 5 and 6.2 name, in relative per cent or in points, recomputed from the tables."""
    figures = {name: {(r.resolution, r.method): r.paper for r in read(name).rows} for name in TABLES}

    def gain(table, resolution, column=0, method='A-SKD'):
        ours, base = (figures[table][resolution, m][column] for m in (method, 'Base'))
        return 100 * (ours / base - 1)

    assert [round(gain('table1', r), 1) for r in ('2x', '4x', '8x')] == [0.6, 1.0, 1.6]
    assert round(gain('table2', '24x24'), 2) == 13.56 and round(gain('table2', '24x24', method='AT'), 2) == -13.34
    third = {method: figures['table3']['8x', method][0] for method in ('AT', 'AT*', 'A-SKD, spatial', 'A-SKD')}
    assert round(third['AT*'] - third['AT'], 2) == 0.32 and round(third['A-SKD'] - third['A-SKD, spatial'], 2) == 0.34
    assert [round(gain('table5', '16x', i), 2) for i in range(3)] == [15.72, 14.15, 33.98]
    assert [round(gain('table5', '32x', i), 2) for i in range(3)] == [7.54, 12.59, 14.43]
    assert all(not paper for name in TABLES if name.startswith('toy') for paper in figures[name].values())


def test_tables_share_the_runs_of_one_config(tmp_path):
    first, third = plan('table1', tmp_path), plan('table3', tmp_path)
    shared = first.trainings.keys() & third.trainings.keys()
    assert {name for name, _ in shared} == {'arcface_ir50-cbam_casia' + s for s in ('', '-8x_at', '-8x_askd')}
    for key in shared:
        assert first.trainings[key].cfg.pretty_text == third.trainings[key].cfg.pretty_text
        assert first.trainings[key].work_dir == third.trainings[key].work_dir


def test_a_plan_has_only_the_methods_that_are_asked_for_and_their_teachers(tmp_path):
    found = plan('table4', tmp_path, methods=['a-skd+kd'])
    assert [row.method for row in found.rows] == ['A-SKD+KD']
    names = [training.name for training in found.trainings.values()]
    assert names == ['resnet18-cbam_imagenet', 'resnet18-cbam_imagenet-4x_askd-kd']
    with pytest.raises(ValueError, match=r'table4 has no method SRGAN; it has: Base, KD'):
        plan('table4', tmp_path, methods=['SRGAN'])


def test_a_network_may_be_tested_where_it_was_not_trained(tmp_path):
    found = plan('demo', tmp_path)
    hr, hr_on_lr = found.tests[:2]
    assert hr.training is hr_on_lr.training and hr.work_dir != hr_on_lr.work_dir
    ratios = [test.cfg.test_dataloader.dataset.pipeline[-1].ratio for test in (hr, hr_on_lr)]
    assert ratios == [1, 4] and hr.training.cfg.train_dataloader.dataset.pipeline[-1].ratio == 1


def test_data_and_options_reach_every_config(tmp_path):
    found = plan('table5', tmp_path, data='/mnt/sets', options={'train_cfg.max_epochs': 7, 'model.backbone.depth': 101})
    for training in found.trainings.values():
        assert training.cfg.train_dataloader.dataset.data_root == '/mnt/sets/wider_face/'
        assert training.checkpoint == training.work_dir / 'epoch_7.pth'
        assert training.cfg.model.backbone.depth == 101
        if hook := distillation_of(training.cfg):
            assert hook.teacher.model.backbone.depth == 101 and hook.checkpoint.endswith('epoch_7.pth')
    assert found.tests[0].cfg.test_evaluator.ground_truth == '/mnt/sets/wider_face/eval_tools/ground_truth'


def test_people_of_ones_own_are_as_many_in_the_teacher_as_in_the_student(tmp_path):
    found = plan('people', tmp_path, options={'model.head.num_classes': 577}, data='/mnt/sets')
    *_, student = (training.cfg for training in found.trainings.values())
    assert student.model.head.num_classes == distillation_of(student).teacher.model.head.num_classes == 577
    assert {test.cfg.test_dataloader.dataset.data_root for test in found.tests} == {'/mnt/sets/people/'}


def define(path, *rows):
    path.write_text(f"title = 'T'\ncolumns = {{'a': 'b'}}\nrows = {list(rows)!r}\n")


def test_different_networks_do_not_share_a_folder(tmp_path):
    shipped = 'askd_mmdet::classification/resnet18-cbam_cifar10'
    (tmp_path / 'resnet18-cbam_cifar10.py').write_text(
        f"_base_ = '{shipped}.py'\nmodel = dict(backbone=dict(depth=34))\n"
    )
    path = tmp_path / 'table.py'
    hr, student = (
        dict(resolution='1x', method='HR', config='resnet18-cbam_cifar10.py'),
        dict(resolution='4x', method='A-SKD', config=f'{shipped}-4x_askd.py'),
    )
    slow, fast = (
        dict(resolution='4x', method=f'{rate}', config=f'{shipped}.py', name='n', options={'optim_wrapper.clip': rate})
        for rate in (1, 2)
    )
    for rows, expected in (((hr, student), 'and .*cifar10.py; give'), ((slow, fast), 'cifar10.py with other options')):
        define(path, *rows)
        with pytest.raises(ValueError, match=f'different networks would share the folder .*{expected}'):
            Plan(Table.read(path), [0], tmp_path)
    define(path, slow | dict(name='m'), fast)
    assert [training.name for training in Plan(Table.read(path), [0], tmp_path).trainings.values()] == ['m', 'n']


def test_a_row_without_options_may_have_a_name(tmp_path):
    path = tmp_path / 'table.py'
    define(path, dict(resolution='1x', method='HR', config='askd_mmdet::toy/resnet18-cbam_toy.py', name='own'))
    (training,) = Plan(Table.read(path), [0], tmp_path / 'runs').trainings.values()
    assert training.work_dir == tmp_path / 'runs/own/seed0'


def test_a_setting_that_nothing_reads_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r'train_dataloadr\.batch_size; similar: train_dataloader\.batch_size'):
        plan('table4', tmp_path, options={'train_dataloadr.batch_size': 3})


def test_runs_are_known_where_they_were_moved_and_by_any_spelling(tmp_path, monkeypatch):
    """Their configs name the teacher's weights, which have moved as well; with other settings they stay refused."""
    monkeypatch.chdir(tmp_path)
    jobs = make_jobs(plan('toy5', Path('runs')), Launch())
    for place in (tmp_path / 'runs', (tmp_path / 'runs').rename(tmp_path / 'größer')):
        assert [job.label for job in make_jobs(plan('toy5', place), Launch())] == [job.label for job in jobs]
    (student,) = tmp_path.glob('größer/*-8x_askd/seed0.py')
    assert f"'{tmp_path}/größer/" in student.read_text()
    with pytest.raises(ValueError, match='holds a run with other settings'):
        make_jobs(plan('toy5', tmp_path / 'größer', options={'train_cfg.max_epochs': 3}), Launch())


def test_configs_that_are_not_ours_get_a_seed_and_trainings_without_epochs_are_refused(tmp_path):
    """A config of MMDetection's says nothing of randomness."""
    row = dict(resolution='1x', method='HR teacher', config='own.py')
    (tmp_path / 'table.py').write_text(f"title = 'Mine'\ncolumns = dict(mAP='coco/bbox_mAP')\nrows = [{row}]\n")
    (tmp_path / 'own.py').write_text("_base_ = 'mmdet::retinanet/retinanet_r18_fpn_1x_coco.py'\n")
    (training,) = Plan(Table.read(tmp_path / 'table.py'), [7], tmp_path / 'runs').trainings.values()
    assert training.cfg.randomness == dict(seed=7) and training.epochs == 12
    with (tmp_path / 'own.py').open('a') as file:
        file.write("train_cfg = dict(_delete_=True, type='IterBasedTrainLoop', max_iters=90)\n")
    with pytest.raises(ValueError, match=r'own\.py trains by iterations, or not at all; a table needs'):
        Plan(Table.read(tmp_path / 'table.py'), [7], tmp_path / 'runs')


def test_what_is_done_is_read_off_the_files(tmp_path):
    test = plan('table4', tmp_path, options={'train_cfg.max_epochs': 12}).tests[0]
    training = test.training
    assert training.epochs_done() == 0
    training.work_dir.mkdir(parents=True)
    for name in ('epoch_2.pth', 'epoch_11.pth', 'best_epoch_40.pth', 'epoch_12.pth.part'):
        (training.work_dir / name).touch()
    assert training.epochs_done() == 11 and not training.checkpoint.exists()
    test.work_dir.mkdir()
    test.metrics.write_text('{}')
    assert not test.is_done()  # of which checkpoint?
    training.checkpoint.touch()
    os.utime(test.metrics, (1, 1))
    assert training.epochs_done() == 12 and not test.is_done()  # metrics of an older one
    test.metrics.write_text('{}')
    assert test.is_done()


@pytest.mark.parametrize(
    'entries, message',
    [
        ("title = 'x'\ncolumns = {'a': 'b'}", "does not define a table: 'rows'"),
        ("title = 'x'\ncolumns = {}\nrows = [dict(resolution='1x')]", 'does not define a table: .*method'),
        ("title = 'x'\ncolumns = {}\nrows = []\nlambda_ = 5", "does not define a table: .*'lambda_'"),
        ("title = 'x'\ncolumns = {'a': 'tset: b'}\nrows = []", 'the column a is of the test tset; there are test'),
        (
            "title = 'x'\ncolumns = {}\nrows = [dict(resolution='1x', method='M', config='c', options={'a': 1})]",
            'the row 1x M has options, so it needs a name',
        ),
        (
            "title = 'x'\ncolumns = {'a': 'b'}\nrows = [dict(resolution='1x', method='M', config='c', paper=(1, 2))]",
            'the row 1x M needs a figure for every column',
        ),
    ],
)
def test_a_wrong_definition_is_named(tmp_path, entries, message):
    (tmp_path / 'mine.py').write_text(entries)
    with pytest.raises(ValueError, match=rf'mine\.py:? {message}|mine\.py: {message}'):
        Table.read(tmp_path / 'mine.py')


def test_a_missing_definition_is_an_error_that_lists_the_others():
    with pytest.raises(FileNotFoundError, match=r'no table at .*table9\.py; there are: cifar10, .*table1'):
        read('table9')
