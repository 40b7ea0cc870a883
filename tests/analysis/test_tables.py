"""Which network is better and how sure that is, against scipy and by hand."""

from types import SimpleNamespace

import pytest
from scipy import stats

from askd_mmdet.analysis.runs import Group
from askd_mmdet.analysis.tables import (
    base_of,
    difference,
    main_metric,
    metrics_of,
    results_table,
    short_names,
)


def made(label, method, resolution, *hard, elsewhere=None, kind='faces'):
    """A group whose seeds have these figures."""
    runs = [
        SimpleNamespace(
            seed=seed,
            method=method,
            resolution=resolution.partition(',')[0],
            kind=(resolution, kind),
            metrics={'wider_face/easy': 50.0, 'wider_face/hard': value},
            tested_at=elsewhere or {},
            cfg=dict(default_hooks=dict(checkpoint=dict(save_best='wider_face/hard'))),
        )
        for seed, value in enumerate(hard)
    ]
    return Group(label, runs)


HR = made('HR', 'HR teacher', '1x', 80.0, 82.0, elsewhere={'4x': {'wider_face/hard': 20.0}})
BASE = made('Base 4x', 'Base', '4x', 60.0, 61.0, 65.0)
STUDENT = made('A-SKD 4x', 'A-SKD', '4x', 62.0, 64.0, 68.5)
OTHER = made('A-SKD 8x', 'A-SKD', '8x', 40.0)
GROUPS = [HR, BASE, STUDENT, OTHER]


def test_a_network_is_compared_with_the_base_of_its_kind():
    assert [base_of(group, GROUPS) for group in GROUPS] == [None, None, BASE, None]
    several = [made(method, method, '4x, trained at 1/4x', 1.0) for method in ('Base', 'A-SKD')]
    assert base_of(several[1], GROUPS + several) is several[0] and base_of(STUDENT, several + GROUPS) is BASE
    assert base_of(several[1], GROUPS) is None and base_of(several[0], several) is None
    other = made('Base of another kind', 'Base', '4x', 1.0, kind='masks')
    assert base_of(STUDENT, [other, *GROUPS]) is BASE and base_of(STUDENT, [other]) is None
    assert base_of(other, [BASE, other]) is None


def test_a_difference_is_paired_by_seed():
    found = difference(STUDENT, BASE, 'wider_face/hard')
    low, high = stats.ttest_rel([62, 64, 68.5], [60, 61, 65]).confidence_interval(0.95)
    assert found.mean == pytest.approx((low + high) / 2) and found.interval == pytest.approx((high - low) / 2)
    assert found.is_sure and found.seeds == 3
    assert str(found) == (
        f'A-SKD 4x is 2.8 points above Base 4x (64.8 against 62.0) over 3 seeds; 95 % interval {low:+.1f} to '
        f'{high:+.1f}, so it is hardly chance.'
    )
    assert difference(STUDENT, BASE, 'nothing') is None


def test_what_is_not_sure_is_said():
    unsure = difference(made('B', 'A-SKD', '4x', 50.0, 70.0, 60.0), BASE, 'wider_face/hard')
    assert not unsure.is_sure and 'below' in str(unsure) and 'so it may be chance' in str(unsure)
    level = difference(made('B', 'A-SKD', '4x', 60.02), BASE, 'wider_face/hard')
    assert 'B is level with Base 4x (60.0 against 60.0), in one training' in str(level)
    single = difference(made('C', 'A-SKD', '4x', 70.0), BASE, 'wider_face/hard')
    assert not single.is_sure and 'in one training of each' in str(single) and 'is not known' in str(single)


def test_the_table():
    metrics = metrics_of(GROUPS)
    assert metrics == ['wider_face/easy', 'wider_face/hard'] and main_metric(GROUPS, metrics) == 'wider_face/hard'
    head, rows = results_table(GROUPS, metrics)
    assert head == ['network', 'seeds', 'hard', 'gain over base', 'easy', 'gain over base']
    assert rows[0] == ['HR', '2', '81.00 ± 1.41', '', '50.00 ± 0.00', '']
    assert rows[1] == ['HR, tested at 4x', '2', '20.00 ± 0.00', '', '', '']
    assert rows[2] == ['Base 4x', '3', '62.00 ± 2.65', '', '50.00 ± 0.00', '']
    assert rows[3][2:4] == ['64.83 ± 3.33', '+2.83 ± 1.90']
    assert rows[4] == ['A-SKD 8x', '1', '40.00', '', '50.00', '']
    assert results_table([HR], metrics)[0] == ['network', 'seeds', 'hard', 'easy']


def test_names_of_several_protocols_keep_their_prefix():
    assert short_names(['a/x', 'b/x']) == {'a/x': 'a x', 'b/x': 'b x'}
    assert main_metric([OTHER], ['accuracy/top1']) == 'accuracy/top1' and main_metric([OTHER], []) is None
