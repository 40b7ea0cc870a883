"""From metrics to the table: against numpy and SciPy."""

import csv
import json
import os

import numpy as np
import pytest
from scipy import stats

from askd_mmdet.experiments import Plan, Table, save_results, summarise
from askd_mmdet.experiments.results import detectable, paired_difference

SEEDS = [0, 1, 2, 7]


@pytest.fixture
def plan(tmp_path):
    """Table 4 with made-up metrics, of which one row lacks two seeds and one all."""
    plan = Plan(Table.named('table4'), SEEDS, tmp_path)
    rng = np.random.default_rng(0)
    for test in plan.tests:
        lacks = {'RKD+KD': (1, 2), 'KD': SEEDS}.get(test.row.method, ())
        if test.training.seed not in lacks:
            test.work_dir.mkdir(parents=True, exist_ok=True)
            test.training.checkpoint.touch()
            test.metrics.write_text(json.dumps({'accuracy/top1': 60 + rng.normal()}))
    return plan


def metrics(plan, method, resolution='4x'):
    found = {}
    for test in plan.tests:
        if (test.row.method, test.row.resolution) == (method, resolution) and test.metrics.is_file():
            found[test.training.seed] = json.loads(test.metrics.read_text())['accuracy/top1']
    return found


def test_the_interval_is_scipys():
    rng = np.random.default_rng(0)
    ours, base = rng.normal(1, 1, 5), rng.normal(0, 1, 5)
    mean, half = paired_difference(dict(enumerate(ours)), dict(enumerate(base)))
    expected = stats.ttest_rel(ours, base).confidence_interval(0.95)
    assert (mean - half, mean + half) == pytest.approx((expected.low, expected.high))
    assert paired_difference({0: 1.0}, {1: 2.0}) == (None, None)


@pytest.mark.parametrize('seeds', [2, 3, 5, 10])
def test_four_of_five_experiments_find_the_detectable_difference(seeds):
    """By trying: one experiment gives an interval, and another one has a true difference of so many halves of it."""
    rng = np.random.default_rng(0)
    first, second = rng.normal(0, 1, (2, 100_000, seeds))
    half = stats.sem(first, axis=1) * stats.t.ppf(0.975, seeds - 1)
    found = stats.ttest_1samp(second + detectable(seeds) * half[:, None], 0, axis=1).pvalue < 0.05
    assert found.mean() == pytest.approx(0.8, abs=0.005)


def test_figures_are_those_of_the_seeds_that_there_are(plan):
    summary = {(row.resolution, row.method): figures[0] for row, figures in summarise(plan)}
    for (resolution, method), figure in summary.items():
        found = metrics(plan, method, resolution)
        if not found:
            assert method == 'KD' and figure is None
            continue
        values = list(found.values())
        assert figure.values == found
        assert (figure.mean, figure.std) == pytest.approx((np.mean(values), np.std(values, ddof=1)))
        if method == 'Base':
            assert figure.difference is None
        else:
            base = metrics(plan, 'Base')
            assert figure.difference == pytest.approx(np.mean([found[seed] - base[seed] for seed in found]))
    assert summary['1x', 'Base'].paper == 70.13


def test_others_may_be_compared_with_another_row_than_the_base(plan, tmp_path):
    other = Plan(Table.named('table4'), SEEDS, tmp_path, methods=['A-SKD+KD', 'Base'], base='at+kd')
    summary = {(row.resolution, row.method): figures[0] for row, figures in summarise(other)}
    ours, base = metrics(plan, 'A-SKD+KD'), metrics(plan, 'AT+KD')
    assert summary['4x', 'A-SKD+KD'].difference == pytest.approx(np.mean([ours[seed] - base[seed] for seed in SEEDS]))
    assert summary['4x', 'AT+KD'].difference is None and summary['4x', 'Base'].difference is not None
    with pytest.raises(ValueError, match='table4 has no method SRGAN'):
        Plan(Table.named('table4'), SEEDS, tmp_path, base='SRGAN')


def test_a_column_may_name_the_test_that_it_is_of(tmp_path):
    plan = Plan(Table.named('demo-ratios'), SEEDS[:1], tmp_path)
    for training in plan.trainings.values():
        training.work_dir.mkdir(parents=True)
        training.checkpoint.touch()
    for test in plan.tests:
        test.work_dir.mkdir()
        test.metrics.write_text(json.dumps({'wider_face/hard': 10.0 * int(test.name.removesuffix('x'))}))
    for _, figures in summarise(plan):
        assert [figure.values for figure in figures] == [{0: 10}, {0: 20}, {0: 40}, {0: 80}]


def test_the_three_files_say_the_same(plan, tmp_path):
    text = save_results(plan, tmp_path, dict(machine='a machine'))
    assert (tmp_path / 'table4.md').read_text() == text + '\n'
    lines = [[cell.strip() for cell in line.strip('|').split('|')] for line in text.splitlines() if line[:1] == '|']
    assert lines[0] == ['Resolution', 'Method', 'ACC (%)', 'to base', 'paper']
    with (tmp_path / 'table4.csv').open() as file:
        rows = {(row['resolution'], row['method']): row for row in csv.DictReader(file)}
    saved = json.loads((tmp_path / 'table4.json').read_text())
    assert saved['machine'] == 'a machine' and len(saved['figures']) == len(rows) == 6
    papers = {('1x', 'Base'): '70.13', ('4x', 'Base'): '65.34', ('4x', 'KD'): '', ('4x', 'AT+KD'): '65.79'}
    papers |= {('4x', 'RKD+KD'): '65.95', ('4x', 'A-SKD+KD'): '66.52', ('4x', 'DIST'): ''}
    for resolution, method, ours, change, paper in lines[2:]:
        assert paper == papers[resolution, method]
        if method == 'KD':
            assert ours == change == '' and (resolution, method) not in rows
            continue
        row = rows[resolution, method]
        few = ' (2 of 4)' if method == 'RKD+KD' else ''
        assert ours == f'{float(row["mean"]):.2f} ± {float(row["std"]):.2f}{few}'
        assert int(row['seeds']) == (2 if few else 4)
        assert change == ('' if method == 'Base' else f'{float(row["difference"]):+.2f} ± {float(row["interval"]):.2f}')
    by_seed = {(f['resolution'], f['method']): f['seeds'] for f in saved['figures']}
    assert by_seed['4x', 'A-SKD+KD'] == {str(seed): value for seed, value in metrics(plan, 'A-SKD+KD').items()}


def test_figures_of_an_older_checkpoint_are_left_out(plan):
    test = next(test for test in plan.tests if test.row.method == 'A-SKD+KD')
    os.utime(test.metrics, (1, 1))
    figure = next(figures[0] for row, figures in summarise(plan) if row.method == 'A-SKD+KD')
    assert set(figure.values) == set(SEEDS) - {test.training.seed}


def test_one_seed_claims_no_spread(tmp_path):
    plan = Plan(Table.named('table4'), [0], tmp_path, methods=['Base'])
    for test, value in zip(plan.tests, (70.0, 60.0)):
        test.work_dir.mkdir(parents=True)
        test.training.checkpoint.touch()
        test.metrics.write_text(json.dumps({'accuracy/top1': value}))
    text = save_results(plan, tmp_path, {})
    assert '| 4x | Base | 60.00 |  | 65.34 |' in text and 'one seed has no spread' in text and '±' not in text
