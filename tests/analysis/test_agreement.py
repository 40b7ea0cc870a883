"""Ranks of agreement and result, against a count of pairs by hand, and in a report of several seeds."""

import html
import re
from itertools import permutations

import numpy as np
import pytest
from mmengine.config import Config

from askd_mmdet.analysis.agreement import Agreement, describe, mean_correlations, plot_agreement, rank_correlation
from askd_mmdet.analysis.attention import PicturePairs, WatchedNetwork, correlate
from askd_mmdet.distillation.correlation import Correlation
from askd_mmdet.distillation.maps import last_blocks
from askd_mmdet.training.config import load_config, moved
from tests.analysis.test_report import small
from tests.toy_run import distillation, train


def trainings(agreement, results):
    return [Agreement('A-SKD 8x', i, {'spatial': r}, result) for i, (r, result) in enumerate(zip(agreement, results))]


def test_the_rank_correlation_is_one_minus_the_squared_distance_of_ranks():
    """Spearman's formula without ties, and as its p-value the share of permutations that are as extreme."""
    agreement, results = [0.1, 0.7, 0.4, 0.2, 0.9, 0.5], [70.0, 75.0, 72.0, 71.0, 73.0, 76.0]

    def rho(ranks):
        return 1 - 6 * np.sum((np.argsort(np.argsort(agreement)) - np.array(ranks)) ** 2) / (6 * (6**2 - 1))

    found, p, number = rank_correlation(trainings(agreement, results), 'spatial')
    expected = rho(np.argsort(np.argsort(results)))
    assert found == pytest.approx(expected) and number == 6
    extreme = [abs(rho(order)) >= abs(expected) - 1e-9 for order in permutations(range(6))]
    assert p == pytest.approx(np.mean(extreme))
    (sentence,) = describe(trainings(agreement, results), 'accuracy', '8x')
    assert sentence.startswith('At 8x, over 6 trainings') and f'{expected:+.2f} (p = ' in sentence


@pytest.mark.parametrize(
    'agreement, results',
    [([0.1, 0.2, 0.3], [1.0, 2.0, 3.0]), ([0.1, 0.2, 0.3, 0.4], [5.0] * 4), ([0.5] * 4, [1.0, 2.0, 3.0, 4.0])],
    ids=['too few', 'one result', 'one agreement'],
)
def test_where_ranks_say_nothing_nothing_is_said(agreement, results):
    few = trainings(agreement, results)
    assert rank_correlation(few, 'spatial') is None and describe(few, 'accuracy', '8x') == []
    assert rank_correlation(few, 'channel') is None


def test_stages_are_averaged_and_constant_maps_left_out():
    rng = np.random.default_rng(0)

    def correlation(noise):
        found = Correlation()
        x = rng.random((4, 1, 5, 5))
        found.update(np.ones_like(x) if noise is None else (x + noise * rng.random(x.shape)) / (1 + noise), x)
        return found

    first, second, constant = correlation(0.5), correlation(2.0), correlation(None)
    assert constant.r is None
    maps = {f'backbone.layer{i}.0.spatial_attention': each for i, each in enumerate((first, constant, second), 1)}
    found = mean_correlations({'spatial': maps, 'channel': {'backbone.layer1.0.channel_attention': constant}})
    assert found == {'spatial': pytest.approx((first.r + second.r) / 2)}


def test_a_point_for_each_training_in_a_panel_for_each_kind():
    points = [
        Agreement('Base', 0, {'spatial': 0.1, 'channel': 0.5}, 70.0),
        Agreement('A-SKD', 0, {'spatial': 0.8}, 72.0),
        Agreement('A-SKD', 1, {'spatial': 0.9}, 73.0),
    ]
    spatial, channel = plot_agreement(points, 'accuracy').axes
    drawn = [sorted(zip(*map(list, drawn.get_data()))) for drawn in spatial.lines]
    assert drawn == [[(0.1, 70.0)], [(0.8, 72.0), (0.9, 73.0)]]
    assert [list(drawn.get_data()[1]) for drawn in channel.lines] == [[70.0]]


def test_the_report_compares_every_seed_with_the_teacher_of_its_seed(toy_faces, askd, tmp_path):
    (tmp_path / 'toy_faces').symlink_to(toy_faces)
    options = dict(batch_size=8, num_workers=0, persistent_workers=False)
    configs = {}
    for seed in (0, 1):
        teacher = tmp_path / f'runs/hr/{seed}/epoch_1.pth'
        for name in ('', '-8x', '-8x_askd'):
            folder = tmp_path / f'runs/{name or "hr"}/{seed}'
            cfg = small(
                f'toy/arcface_ir18-cbam_toy{name}', tmp_path, folder, options, teacher if 'askd' in name else None
            )
            cfg.randomness.seed = seed
            configs[folder] = cfg
            train(cfg)
    status, output, errors = askd(
        'report', tmp_path / 'runs', '--out', tmp_path / 'report.html', '--sample', 4, '--ratios'
    )
    assert status == 0 and 'left out' not in output, output + errors
    text = html.unescape((tmp_path / 'report.html').read_text())
    assert 'Do those who look where the teacher looks do better?' in text
    assert 'At 8x, over 4 trainings, the rank correlation' in text
    table = text[text.index('The same in figures.') :]
    rows = re.findall(r'<tr>\s*(.*?)</tr>', table[: table.index('</table>')], re.DOTALL)
    rows = [re.findall(r'<t[dh][^>]*>(.*?)</t[dh]>', row, re.DOTALL) for row in rows]
    assert rows[0][:2] == ['network', 'seed'] and len(rows) == 5
    folder = tmp_path / 'runs/-8x/1'
    student = WatchedNetwork(configs[folder], folder / 'epoch_1.pth', 'cpu')
    teacher = WatchedNetwork(configs[tmp_path / 'runs/hr/1'], tmp_path / 'runs/hr/1/epoch_1.pth', 'cpu')
    expected = mean_correlations(correlate(teacher, student, PicturePairs(configs[folder], 4, seed=0)))
    (row,) = (row for row in rows if row[:2] == ['Base 8x', '1'])
    assert [float(cell) for cell in row[2:4]] == pytest.approx([expected[kind] for kind in rows[0][2:4]], abs=5e-4)


def test_students_of_other_taps_and_a_second_hr_network_take_nothing_from_the_report(toy_faces, askd, tmp_path):
    """One student compares spatial maps alone; one HR network was not trained, and sorts behind the other."""
    (tmp_path / 'toy_faces').symlink_to(toy_faces)
    options = dict(batch_size=8, num_workers=0, persistent_workers=False)
    names = {'hr': '', 'hr-untrained': '', 'base': '-8x', 'spatial': '-8x_askd'}
    for folder, name in names.items():
        work_dir = tmp_path / f'runs/{folder}'
        teacher = tmp_path / 'runs/hr/epoch_1.pth' if name.endswith('askd') else None
        cfg = small(f'toy/arcface_ir18-cbam_toy{name}', tmp_path, work_dir, options, teacher)
        if folder == 'spatial':
            distillation(cfg).losses.loss_attention.channel = None
        if folder == 'hr-untrained':
            cfg.optim_wrapper.optimizer.lr = 0.0
        train(cfg)
    status, output, errors = askd(
        'report', tmp_path / 'runs', '--out', tmp_path / 'report.html', '--sample', 4, '--ratios'
    )
    assert status == 0 and 'left out' not in output, output + errors
    text = html.unescape((tmp_path / 'report.html').read_text())
    table = text[text.index('Does it look where the teacher looks?') :]
    rows = [re.findall(r'<t[dh][^>]*>(.*?)</t[dh]>', row) for row in table[: table.index('</table>')].split('<tr>')]
    found = {tuple(row[:2]): row[3:] for row in rows if len(row) > 2}
    assert {kind for _, kind in found} >= {'spatial', 'channel'} and len(found) == 5  # with the head
    base = load_config('askd_mmdet::toy/arcface_ir18-cbam_toy-8x.py')
    base = Config(moved(base.to_dict(), str(tmp_path)))
    teacher, student = (WatchedNetwork(base, tmp_path / f'runs/{name}/epoch_1.pth', 'cpu') for name in ('hr', 'base'))
    stages = last_blocks(correlate(teacher, student, PicturePairs(base, 4, seed=0)))['spatial']
    assert found['Base 8x', 'spatial'] == [f'{each.r:.3f}' for each in stages.values()]


def test_without_a_teacher_the_report_says_so(toy_faces, askd, tmp_path):
    (tmp_path / 'toy_faces').symlink_to(toy_faces)
    options = dict(batch_size=8, num_workers=0, persistent_workers=False)
    train(small('toy/arcface_ir18-cbam_toy-8x', tmp_path, tmp_path / 'runs/base', options))
    status, output, errors = askd('report', tmp_path / 'runs', '--out', tmp_path / 'report.html', '--ratios')
    assert status == 0, output + errors
    text = html.unescape((tmp_path / 'report.html').read_text())
    assert 'What low resolution leaves' in text and 'there is no HR teacher of their kind' in text
