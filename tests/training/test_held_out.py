"""Two parts of every kind of training set on real files, and pairs against a list of all."""

import tracemalloc
from importlib import import_module
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmengine.registry import DATASETS, DefaultScope
from scipy.stats import chisquare

from askd_mmdet.training.held_out import balanced_pairs, draw_held_out, draw_pairs
from tests.recognition.formats import jpeg, write_records

LABELS = st.lists(st.integers(0, 6), min_size=2, max_size=40).map(np.array)
SIDE = [dict(type='LoadPicture'), dict(type='Resize', scale=(16, 16)), dict(type='PackInputs')]
PIPELINES = {
    'mmpretrain': dict(train=[*SIDE[:2], dict(type='RandomFlip', prob=0.5), SIDE[2]], test=SIDE),
    'mmdet': {
        part: [
            dict(type='LoadPicture'),
            dict(type='LoadAnnotations', with_bbox=True),
            *flip,
            dict(type='PackDetInputs', meta_keys=('img_id', 'img_path')),
        ]
        for part, flip in (('train', [dict(type='Resize', scale=(32, 32))]), ('test', []))
    },
}
CIFAR = ['airplane', 'automobile', 'bird', 'cat', 'deer', 'dog', 'frog', 'horse', 'ship', 'truck']
KINDS = ['Cifar10Dataset', 'ClassFolderDataset', 'FaceFolderDataset', 'FaceRecordDataset', 'WiderFaceTxtDataset']


def write_folders(folder, names, count):
    for label, name in enumerate(names):
        (folder / name).mkdir(parents=True)
        for i in range(count):
            (folder / name / f'{i}.jpg').write_bytes(jpeg(100 * label + i))


@pytest.fixture
def tasks():
    """The rooms that have training sets."""
    for room, library in (('classification', 'mmpretrain'), ('detection', 'mmdet'), ('recognition', 'mmpretrain')):
        pytest.importorskip(library)
        import_module(f'askd_mmdet.{room}')


@pytest.fixture
def training_set(request, tasks, tmp_path, toy_data):
    """A kind of training set, and the scope that it belongs to: ten classes of four pictures each, or faces."""
    kind = request.param
    settings = dict(type=kind, data_root=str(tmp_path))
    if kind == 'Cifar10Dataset':
        write_folders(tmp_path / 'train', CIFAR, 4)
        settings.update(split='train')
    elif kind == 'ClassFolderDataset':
        write_folders(tmp_path / 'train', 'abcdefghij', 4)
        settings.update(data_prefix='train')
    elif kind == 'FaceFolderDataset':
        write_folders(tmp_path, 'abcdefghij', 4)
        write_folders(tmp_path, 'k', 1)
        settings.update(min_pictures=2)
    elif kind == 'FaceRecordDataset':
        write_records(tmp_path, [(7 + 3 * (i % 10), jpeg(i)) for i in range(40)] + [(99, jpeg(40))])
        settings.update(ann_file='train.rec', min_pictures=2)
    else:
        settings.update(
            data_root=str(toy_data),
            ann_file='wider_face_split/wider_face_train_bbx_gt.txt',
            data_prefix=dict(img_path='WIDER_train/images/'),
            filter_cfg=dict(filter_empty_gt=True),
        )
        return settings, 'mmdet'
    return settings, 'mmpretrain'


def build(training_set, part=None, pipeline='train', **settings):
    """The whole, or a part of it."""
    dataset, scope = training_set
    dataset = dict(dataset, pipeline=PIPELINES[scope][pipeline])
    if part:
        dataset = dict(type='held_out_split', part=part, dataset=dataset, **settings)
    with DefaultScope.overwrite_default_scope(scope):
        built = DATASETS.build(dataset)
        built.full_init()
    return built


def pictures(dataset):
    """Path and label of every picture."""
    infos = [dataset.get_data_info(i) for i in range(len(dataset))]
    return [(info['img_path'], info.get('gt_label')) for info in infos]


@pytest.mark.parametrize('training_set', KINDS, indirect=True)
@pytest.mark.parametrize('by', [None, 'gt_label'])
def test_the_parts_are_disjoint_complete_and_reproducible(training_set, by):
    if by and training_set[1] == 'mmdet':
        with pytest.raises(ValueError, match='the pictures of WiderFaceTxtDataset have no gt_label'):
            build(training_set, 'rest', by=by)
        return
    whole = pictures(build(training_set))
    rest, held_out = (pictures(build(training_set, part, by=by, fraction=0.3)) for part in ('rest', 'held_out'))
    assert sorted(rest + held_out) == sorted(whole) and len(set(whole)) == len(whole)
    assert len(held_out) == round(0.3 * len(whole))
    if by:
        assert not {label for _, label in rest} & {label for _, label in held_out}
    again = pictures(build(training_set, 'held_out', 'test', by=by, fraction=0.3))
    assert again == held_out  # whatever the pipeline
    others = [pictures(build(training_set, 'held_out', by=by, fraction=0.3, seed=seed)) for seed in range(1, 4)]
    assert any(other != held_out for other in others)


@pytest.mark.parametrize('training_set', KINDS, indirect=True)
def test_samples_of_the_part_held_out_are_numbered_and_each_is_tested(training_set):
    data = build(training_set, 'held_out', 'test', fraction=0.5)
    assert data.test_mode and not build(training_set, 'rest').test_mode
    infos = [data.get_data_info(i) for i in range(len(data))]
    assert [info['sample_idx'] for info in infos] == list(range(len(data))) and data.get_data_info(-1) == infos[-1]
    for info, sample in zip(infos, (data[i] for i in range(len(data)))):
        assert sample['data_samples'].img_path == info['img_path']
        assert sample['data_samples'].get('sample_idx', info['sample_idx']) == info['sample_idx']


@pytest.mark.parametrize('training_set', ['FaceFolderDataset', 'FaceRecordDataset'], indirect=True)
def test_pairs_are_of_identities_that_are_held_out(training_set):
    from askd_mmdet.recognition.verification import verify

    rest = build(training_set, 'rest', by='gt_label', fraction=0.5)
    data = build(training_set, 'held_out', 'test', by='gt_label', fraction=0.5, pairs=40)
    pairs, same = data.metainfo['pairs'], data.metainfo['same']
    labels = data.get_gt_labels()
    assert not set(labels) & set(rest.get_gt_labels())
    assert pairs.shape == (40, 2) and same.sum() == 20
    assert ((labels[pairs[:, 0]] == labels[pairs[:, 1]]) == same).all()
    assert set(pairs.ravel()) == set(range(len(data)))  # no picture is embedded for nothing
    embeddings = np.eye(10)[labels] + 0.01 * np.random.default_rng(0).normal(size=(len(data), 10))
    assert verify(*embeddings[pairs.T], same, folds=10).accuracy == 1
    again = build(training_set, 'held_out', 'test', by='gt_label', fraction=0.5, pairs=40)
    assert (again.metainfo['pairs'] == pairs).all()
    assert 'pairs' not in rest.metainfo


@given(LABELS, st.floats(0.01, 0.99), st.integers(0, 5))
def test_whole_groups_are_held_out(labels, fraction, seed):
    names = np.unique(labels)
    if len(names) < 2:
        with pytest.raises(ValueError, match='found 1 of what is to be divided'):
            draw_held_out(labels, fraction, seed)
        return
    chosen = draw_held_out(labels, fraction, seed)
    assert (chosen == draw_held_out(labels, fraction, seed)).all()
    groups = {name: set(chosen[labels == name].tolist()) for name in names.tolist()}
    assert all(len(kinds) == 1 for kinds in groups.values())
    count = sum(kinds == {True} for kinds in groups.values())
    assert 1 <= count < len(names) and abs(count - fraction * len(names)) <= 1


@given(LABELS, st.booleans(), st.integers(0, 1000), st.integers(0, 5))
def test_pairs_are_some_of_all_that_there_are(labels, same, count, seed):
    pairs = draw_pairs(labels, same, count, np.random.default_rng(seed))
    found = set(map(tuple, pairs.tolist()))
    possible = {(a, b) for a, b in combinations(range(len(labels)), 2) if (labels[a] == labels[b]) == same}
    assert found <= possible and len(found) == len(pairs) == min(count, len(possible))


def test_every_pair_may_be_drawn():
    labels = np.array([2, 0, 1, 0, 2, 2])
    for same in (True, False):
        found = {tuple(draw_pairs(labels, same, 1, np.random.default_rng(seed))[0]) for seed in range(400)}
        assert len(found) == sum((labels[a] == labels[b]) == same for a, b in combinations(range(6), 2))


@given(st.integers(20, 400), st.integers(0, 5))
def test_every_fold_has_both_kinds(count, seed):
    labels = np.repeat(np.arange(8), 6)
    pairs, same = balanced_pairs(labels, count, seed)
    assert len(pairs) == len(same) <= count and 2 * same.sum() == len(same)
    assert ((labels[pairs[:, 0]] == labels[pairs[:, 1]]) == same).all()
    assert all(0 < fold.sum() < len(fold) for fold in np.array_split(same, 10))


@pytest.mark.parametrize('training_set', ['FaceFolderDataset'], indirect=True)
@pytest.mark.parametrize(
    'settings, message',
    [
        (dict(part='rest', fraction=0), 'held_out_split: found fraction=0, expected above 0 and below 1'),
        (dict(part='rest', fraction=1.0), 'found fraction=1.0'),
        (dict(part='both'), "found part='both', by=None and pairs=0, expected rest or held_out"),
        (dict(part='held_out', by='age'), "by='age'"),
        (dict(part='held_out', pairs=20), 'pairs, which need gt_label'),
        (
            dict(part='held_out', by='gt_label', pairs=20, fraction=0.1),
            'found 6 pairs of one identity among 4 pictures',
        ),
        (dict(part='held_out', by='gt_label', pairs=6, fraction=0.5), 'found 3 pairs of one identity'),
    ],
)
def test_what_cannot_be_divided_is_an_error(training_set, settings, message):
    with pytest.raises(ValueError, match=message):
        build(training_set, **settings)


def test_one_identity_or_a_wrapper_cannot_be_divided(tasks, tmp_path):
    write_folders(tmp_path, 'a', 3)
    inner = dict(type='FaceFolderDataset', data_root=str(tmp_path))
    with pytest.raises(ValueError, match='FaceFolderDataset cannot be divided by its labels: found 1 of what'):
        build((inner, 'mmpretrain'), 'rest', by='gt_label')
    assert len(build((inner, 'mmpretrain'), 'rest')) == 2
    wrapped = dict(type='RepeatDataset', dataset=dict(inner, pipeline=SIDE), times=2)
    with (
        DefaultScope.overwrite_default_scope('mmpretrain'),
        pytest.raises(ValueError, match='RepeatDataset has no parts'),
    ):
        DATASETS.build(dict(type='held_out_split', part='rest', dataset=wrapped))


def test_pairs_are_drawn_without_a_list_of_all():
    """A hundred thousand pictures have five billion pairs of two identities."""
    owners = np.repeat(np.arange(2000), 50)
    tracemalloc.start()
    for same in (True, False):
        pairs = draw_pairs(owners, same, 3000, np.random.default_rng(0))
        assert len({tuple(pair) for pair in pairs.tolist()}) == 3000
        assert ((owners[pairs[:, 0]] == owners[pairs[:, 1]]) == same).all()
    assert tracemalloc.get_traced_memory()[1] < 50e6
    tracemalloc.stop()


@pytest.mark.parametrize('same', [True, False])
def test_every_pair_is_as_likely_as_another(same):
    """However many pictures its identities have: here 2, 3 and 6."""
    owners, rng = np.repeat([5, 1, 3], [2, 3, 6]), np.random.default_rng(0)
    drawn = [tuple(draw_pairs(owners, same, 1, rng)[0]) for _ in range(6000)]
    counts = np.unique(drawn, axis=0, return_counts=True)[1]
    assert len(counts) == (1 + 3 + 15 if same else 6 + 12 + 18)
    assert chisquare(counts).pvalue > 0.001
