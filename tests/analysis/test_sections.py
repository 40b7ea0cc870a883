"""Which networks a section of the report compares, and with which teacher."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from mmengine.config import Config

from askd_mmdet.analysis.runs import Run, group_runs
from askd_mmdet.analysis.sections import Options, by_kind, seed_means, sweep_section, teacher_run
from askd_mmdet.training.config import load_config
from tests.toy_run import BASE, distillation, random_network, toy_config


def finished(name, folder, seed=0, teacher=None):
    """A run with weights, of which nothing but the names is there."""
    cfg = load_config(f'askd_mmdet::{name}.py')
    cfg.randomness.seed = seed
    if teacher:
        distillation(cfg).checkpoint = str(teacher.checkpoint)
    folder = Path('work_dirs', folder, f'seed{seed}')
    return Run(folder, cfg, files={1: folder / 'epoch_1.pth'})


MASKS, TOY = 'small/tinaface_r50-bn-cbam_masks', 'toy/tinaface_r50-bn-cbam_toy'


def test_networks_of_other_pictures_are_not_compared():
    runs = [
        finished(f'{name}{ending}', f'{name}{ending}') for name in (MASKS, TOY) for ending in ('', '-4x', '-4x_askd')
    ]
    groups = group_runs(runs)
    kinds = dict(by_kind(groups))
    assert {title: [run.folder for group in same for run in group.runs] for title, same in kinds.items()} == {
        '4x, tinaface_r50-bn-cbam_masks-4x': [run.folder for run in runs[1:3]],
        '4x, tinaface_r50-bn-cbam_toy-4x': [run.folder for run in runs[4:6]],
    }
    assert [teacher_run(run, groups) for run in runs] == [*[runs[0]] * 3, *[runs[3]] * 3]
    assert teacher_run(runs[1], groups[1:2]) is None
    assert list(dict(by_kind(group_runs(runs[:3])))) == ['4x']


def test_a_teacher_is_the_one_that_was_learned_from_or_else_that_of_the_seed():
    teachers = [finished(MASKS, folder, seed) for folder, seed in (('a', 0), ('a', 1), ('b', 0))]
    students = [finished(f'{MASKS}-4x_askd', 'student', seed, teachers[2]) for seed in (0, 1)]
    bases = [finished(f'{MASKS}-4x', 'base', seed) for seed in (0, 1, 2)]
    groups = group_runs([*teachers, *students, *bases])
    assert [teacher_run(run, groups) for run in students] == [teachers[2]] * 2
    assert [teacher_run(run, groups) for run in bases] == [teachers[0], teachers[1], teachers[0]]


def test_a_teacher_is_known_by_its_folder_after_a_move(tmp_path):
    """Two teachers of one seed: by the seed alone the student would be compared with the wrong one."""
    teachers = [finished(MASKS, folder) for folder in ('a', 'b')]
    student = finished(f'{MASKS}-4x_askd', 'student', teacher=teachers[1])
    moved = [Run(tmp_path / run.folder.relative_to('work_dirs'), run.cfg, files=run.files) for run in teachers]
    assert teacher_run(student, group_runs([*moved, student])) is moved[1]


@pytest.mark.parametrize('found', [True, False])
def test_a_detector_that_finds_nothing_has_an_average_precision_of_zero(coco, tmp_path, found):
    """CocoMetric has no metric for it."""
    runs = []
    for name, threshold in (('finds', 0.0), ('nothing', 2.0))[not found :]:
        cfg = toy_config(BASE, coco, tmp_path / name)
        cfg.model.test_cfg.update(score_thr=threshold, max_per_img=20)
        cfg.test_dataloader.dataset.update(
            type='CocoDataset',
            data_root=f'{coco}/',
            ann_file='annotations.json',
            data_prefix=dict(img=''),
        )
        metric = dict(type='CocoMetric', ann_file=f'{coco}/annotations.json', metric='bbox')
        cfg = Config({**cfg.to_dict(), 'test_evaluator': metric})
        (tmp_path / name).mkdir()
        random_network(cfg, tmp_path / name / 'epoch_1.pth')
        runs.append(Run(tmp_path / name, cfg, files={1: tmp_path / name / 'epoch_1.pth'}))
    groups, options = group_runs(runs), Options(ratios=(1, 4), device='cpu')
    if not found:
        with pytest.raises(ValueError, match='they find nothing'):
            sweep_section(groups, options)
        return
    (section,) = sweep_section(groups, options)
    figures = {row[0]: row[1:] for part in section.parts if part.table for row in part.table.rows}
    (label,) = (group.label for group in groups if group.first.home.name == 'nothing')
    assert figures[label] == ['0.0', '0.0'] and len(figures) == 2


def test_correlations_are_means_over_seeds_of_each_stage():
    def training(*rs):
        return {
            'spatial': {f'backbone.layer{i // 2 + 1}.{i % 2}.spatial': SimpleNamespace(r=r) for i, r in enumerate(rs)}
        }

    found = seed_means([training(0.9, 0.1, 0.9, 0.5), training(0.9, 0.3, 0.9, None)])
    assert found == {('spatial', 'layer1'): pytest.approx(0.2), ('spatial', 'layer2'): None}
