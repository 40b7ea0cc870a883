"""Answers paired item by item: against SciPy and a brute force."""

import json
import os
from itertools import product

import numpy as np
import pytest
from scipy import stats

from askd_mmdet.experiments import Plan, Table, save_results
from askd_mmdet.experiments.answers import answers_of, compare_answers


def answers(generator, share, items=200):
    return dict(enumerate((generator.random(items) < share).tolist()))


def test_difference_interval_and_counts_are_those_of_the_items():
    generator = np.random.default_rng(0)
    ours, base = ({seed: answers(generator, share) for seed in (0, 3)} for share in (0.8, 0.7))
    found = compare_answers(ours, base)
    means = [[np.mean([run[seed][i] for seed in run]) for i in range(200)] for run in (ours, base)]
    interval = stats.ttest_rel(*means).confidence_interval(0.95)
    assert found.difference == pytest.approx(100 * (np.mean(means[0]) - np.mean(means[1])))
    assert found.interval == pytest.approx(50 * (interval.high - interval.low))
    for seed in (0, 3):
        assert found.gained[seed] == sum(ours[seed][i] and not base[seed][i] for i in range(200))
        assert found.lost[seed] == sum(base[seed][i] and not ours[seed][i] for i in range(200))


@pytest.mark.parametrize('gained, lost', [(0, 0), (5, 0), (3, 1), (2, 2), (0, 4)])
def test_p_is_the_share_of_coin_tosses_that_are_no_likelier(gained, lost):
    ours = {0: dict(enumerate([True] * gained + [False] * lost + [True, False]))}
    base = {0: dict(enumerate([False] * gained + [True] * lost + [True, False]))}
    tosses = [sum(toss) for toss in product((0, 1), repeat=gained + lost)]
    share = {heads: tosses.count(heads) / len(tosses) for heads in set(tosses)}
    expected = sum(value for value in share.values() if value <= share[gained] + 1e-12)
    assert compare_answers(ours, base).p[0] == pytest.approx(expected)


def test_only_items_and_seeds_of_both_count():
    ours = {0: {1: True, 2: True, 4: False}, 1: {1: True}}
    base = {0: {1: False, 2: True, 3: True}, 2: {1: False}}
    found = compare_answers(ours, base)
    assert found.difference == 50 and found.gained == {0: 1} and found.lost == {0: 0}
    assert compare_answers({1: {1: True}}, {2: {1: True}}) is None


def test_a_table_compares_what_its_tests_have_answered(tmp_path):
    plan = Plan(Table.named('faces-camera'), [0, 1], tmp_path, methods=['Base', 'A-SKD'])
    generator = np.random.default_rng(1)
    right = {}
    for test in plan.tests:
        assert test.cfg.test_evaluator.out_dir == str(test.work_dir)
        test.work_dir.mkdir(parents=True, exist_ok=True)
        if not test.training.checkpoint.exists():
            test.training.checkpoint.touch()
        run = answers(generator, 0.7)
        if test.name == 'test':  # the other one is not the first of the table
            right.setdefault(test.row.method, {})[test.training.seed] = run
        lines = [f'{i},0,1,0.5,{int(answer)}' for i, answer in run.items()]
        (test.work_dir / 'answers.csv').write_text('\n'.join(['pair,fold,same,cosine,right', *lines]))
        test.metrics.write_text(json.dumps({'verification/accuracy': 70.0}))
    text = save_results(plan, tmp_path, {})
    expected = compare_answers(right['A-SKD'], right['Base'])
    (saved,) = json.loads((tmp_path / 'faces-camera.json').read_text())['answers']
    assert (saved['method'], saved['difference']) == ('A-SKD', pytest.approx(expected.difference))
    assert f'| 6 px | A-SKD | {expected.difference:+.2f} ± {expected.interval:.2f} | ' in text
    assert ', '.join(f'{expected.gained[s]}:{expected.lost[s]}' for s in (0, 1)) in text

    later = plan.tests[0].metrics.stat().st_mtime + 10
    for test in plan.tests:  # which another test has overwritten
        os.utime(test.work_dir / 'answers.csv', (later, later))
    assert list(answers_of(plan)) == []


def test_answers_are_asked_of_the_metric_that_has_them_among_several(tmp_path):
    config = tmp_path / 'several.py'
    config.write_text(
        "_base_ = 'askd_mmdet::toy/arcface_ir18-cbam_toy.py'\n"
        "test_evaluator = [dict(type='VerificationMetric'), dict(type='Accuracy')]\n"
    )
    row = f"dict(resolution='1x', method='HR', config={str(config)!r})"
    (tmp_path / 'table.py').write_text(f"title = 'Several'\ncolumns = {{'a': 'b'}}\nrows = [{row}]\n")
    (test,) = Plan(Table.named(str(tmp_path / 'table.py')), [0], tmp_path / 'runs').tests
    assert [metric.get('out_dir') for metric in test.cfg.test_evaluator] == [str(test.work_dir), None]
