"""The sweep against the test of the Runner, by networks of all three tasks, and what its cache keeps."""

import json
import os

import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex
from mmdet.datasets import CocoDataset
from mmdet.evaluation import CocoMetric
from mmengine.config import Config
from mmengine.registry import RUNNERS, DefaultScope
from scipy.io import loadmat, savemat

from askd_mmdet.analysis import sweep as module
from askd_mmdet.analysis.sweep import plot_sweep, sampled, sweep, trained_ratios
from askd_mmdet.degradation.pipelines import degradation_of
from askd_mmdet.recognition import VerificationMetric
from askd_mmdet.toy import make_picture_classes
from askd_mmdet.training.config import load_config
from tests.toy_run import BASE, random_network, toy_config

pytestmark = pytest.mark.usefixtures('unformatted_configs')


@pytest.fixture(scope='module')
def detector(toy_data, tmp_path_factory):
    folder = tmp_path_factory.mktemp('detector')
    cfg = toy_config(BASE, toy_data, folder)
    random_network(Config(cfg.to_dict()), folder / 'epoch_2.pth')
    return cfg, folder / 'epoch_2.pth'


@pytest.fixture
def alone(detector, tmp_path):
    """The detector with a cache of its own."""
    cfg, checkpoint = detector
    return dict(cfg=cfg, checkpoint=checkpoint, cache=tmp_path / 'sweep.json', device='cpu')


@pytest.fixture(scope='module')
def classifier(tmp_path_factory):
    folder = tmp_path_factory.mktemp('classifier')
    make_picture_classes(folder / 'pictures', train_pictures=1, val_pictures=2, size=64)
    cfg = load_config('askd_mmdet::toy/resnet18-cbam_toy.py')
    cfg.merge_from_dict(
        {
            f'{split}_dataloader.{key}': value
            for split in ('train', 'val', 'test')
            for key, value in (('dataset.data_root', str(folder / 'pictures')), ('num_workers', 0), ('batch_size', 4))
        }
    )
    random_network(Config(cfg.to_dict()), folder / 'epoch_1.pth')
    return cfg, folder / 'epoch_1.pth'


def verifier(data, folder):
    cfg = load_config('askd_mmdet::toy/arcface_ir18-cbam_toy.py')
    cfg.merge_from_dict(
        {
            'test_dataloader.dataset.data_root': str(data),
            'test_dataloader.num_workers': 0,
            'test_dataloader.batch_size': 8,
        }
    )
    random_network(Config(cfg.to_dict()), folder / 'epoch_1.pth')
    return cfg, folder / 'epoch_1.pth'


def runner_metrics(cfg, checkpoint, ratio, work_dir):
    """What `askd test` says."""
    cfg = Config(cfg.to_dict())
    cfg.test_dataloader.dataset.pipeline[-1].ratio = ratio
    cfg.merge_from_dict(dict(load_from=str(checkpoint), work_dir=str(work_dir), log_level='ERROR'))
    return RUNNERS.build(cfg).test()


def test_a_detector_is_tested_as_the_runner_does(alone, tmp_path):
    state = torch.get_rng_state(), np.random.get_state()[1].tolist()
    before = alone['cfg'].to_dict()
    found = sweep(**alone, ratios=(1, 4))
    assert alone['cfg'].to_dict() == before
    assert torch.equal(state[0], torch.get_rng_state()) and state[1] == np.random.get_state()[1].tolist()
    for ratio, metrics in found.items():
        assert metrics == runner_metrics(alone['cfg'], alone['checkpoint'], ratio, tmp_path / 'run')
    assert list(found) == [1, 4] and found[1] != found[4]


def test_a_classifier_and_a_verifier_are_tested_as_the_runner_does(classifier, toy_faces, tmp_path):
    for cfg, checkpoint in (classifier, verifier(toy_faces, tmp_path)):
        found = sweep(cfg, checkpoint, (2,), cache=tmp_path / 'sweep.json', device='cpu')
        expected = runner_metrics(cfg, checkpoint, 2, tmp_path / 'run')
        assert found[2] == pytest.approx(expected, abs=1e-4) and found[2].keys() == expected.keys()


def test_what_the_configs_own_test_has_written_stays(alone, toy_faces, tmp_path):
    (tmp_path / 'own').mkdir()
    cfg, checkpoint = verifier(toy_faces, tmp_path)
    cfg.test_evaluator.out_dir = str(tmp_path / 'own')
    sweep(cfg, checkpoint, (2,), cache=tmp_path / 'one.json', device='cpu')
    alone['cfg'] = Config(alone['cfg'].to_dict())
    alone['cfg'].test_evaluator.submission_dir = str(tmp_path / 'own')
    sweep(**alone, ratios=(4,))
    assert list((tmp_path / 'own').iterdir()) == []


def test_a_size_gives_way_to_the_ratio(toy_faces, tmp_path):
    cfg, checkpoint = verifier(toy_faces, tmp_path)
    expected = sweep(cfg, checkpoint, (8,), cache=tmp_path / 'one.json', device='cpu')
    cfg.test_dataloader.dataset.pipeline[-1].update(ratio=None, size=24)
    assert sweep(cfg, checkpoint, (8,), cache=tmp_path / 'two.json', device='cpu') == expected


def test_the_hook_is_swept_like_the_transform_and_so_is_a_config_without_either(classifier, tmp_path):
    cfg, checkpoint = classifier
    expected = sweep(cfg, checkpoint, (1, 4), cache=tmp_path / 'one.json', device='cpu')
    cfg = Config(cfg.to_dict())
    pipeline = cfg.test_dataloader.dataset.pipeline
    pipeline[-1:] = pipeline[-1].transforms
    hook = dict(type='LowResolutionHook', ratio=2, after=['CenterCrop'])
    cfg.custom_hooks = [hook]
    assert sweep(cfg, checkpoint, (1, 4), cache=tmp_path / 'two.json', device='cpu') == expected
    cfg.custom_hooks = []
    without = sweep(cfg, checkpoint, (1, 4), cache=tmp_path / 'three.json', device='cpu')
    assert without[1] == expected[1]


def test_workers_see_every_ratio(alone):
    expected = sweep(**alone, ratios=(1, 8))
    cfg = Config(alone['cfg'].to_dict())
    cfg.test_dataloader.update(num_workers=1, persistent_workers=True)
    assert sweep(cfg, alone['checkpoint'], (1, 8), cache=alone['cache'].with_name('w.json'), device='cpu') == expected


def test_pictures_that_vanish_stop_nothing(alone):
    assert set(sweep(**alone, ratios=(100000,))[100000]) == {
        f'wider_face/{name}' for name in ('easy', 'medium', 'hard')
    }


def test_the_second_call_is_instant_and_an_interrupted_one_goes_on(alone, monkeypatch):
    def interrupt(*args):
        done = list(real(*args[:2], args[2][:1], *args[3:]))
        yield from done
        raise KeyboardInterrupt

    real = module._tested
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(module, '_tested', interrupt)
        sweep(**alone, ratios=(1, 2))
    asked = []
    monkeypatch.setattr(module, '_tested', lambda *args: asked.append(args[2]) or real(*args))
    found = sweep(**alone, ratios=(1, 2))
    assert sweep(**alone, ratios=(2, 1)) == found and asked == [[2], []]


@pytest.mark.parametrize('change', ['checkpoint', 'data', 'count', 'seed', 'settings', 'damaged'])
def test_what_changes_a_test_has_it_done_again(alone, toy_data, monkeypatch, change):
    asked = []
    monkeypatch.setattr(module, '_tested', lambda *args: asked.append(args[2]) or ((r, dict(x=r)) for r in args[2]))
    options = dict(alone, ratios=(1,), count=3)
    sweep(**options)
    sweep(**options)
    assert asked == [[1], []]
    if change == 'checkpoint':
        os.utime(options['checkpoint'])
    elif change == 'data':
        os.utime(toy_data / 'wider_face_split/wider_face_val_bbx_gt.txt')
    elif change == 'settings':
        options['cfg'] = Config(alone['cfg'].to_dict())
        options['cfg'].model.test_cfg.score_thr = 0.5
    elif change == 'damaged':
        alone['cache'].write_text('{"key":')
    else:
        options[change] = 2
    assert sweep(**options) == {1: dict(x=1)} and asked[2:] == [[1]]
    assert json.loads(alone['cache'].read_text())['ratios'] == {'1.0': dict(x=1)}


def test_the_cache_lies_beside_the_checkpoint(detector, monkeypatch):
    monkeypatch.setattr(module, '_tested', lambda *args: ((ratio, {}) for ratio in args[2]))
    cfg, checkpoint = detector
    assert list(sweep(cfg, checkpoint)) == [1, 2, 4, 8, 16, 32]
    assert (checkpoint.parent / 'sweep_epoch_2.json').is_file()


def test_a_sample_of_pictures_is_the_test_of_a_smaller_set(alone, toy_data, tmp_path):
    """The smaller set is made by hand: other annotation and ground truth."""
    chosen = sampled(4, 2, seed=5)
    cfg = Config(alone['cfg'].to_dict())
    lines = (toy_data / 'wider_face_split/wider_face_val_bbx_gt.txt').read_text().splitlines()
    starts = [i for i, line in enumerate(lines) if '/' in line] + [len(lines)]
    text = '\n'.join('\n'.join(lines[starts[i] : starts[i + 1]]) for i in chosen)
    (tmp_path / 'few.txt').write_text(text + '\n')
    names = [lines[starts[i]].split('/')[1].removesuffix('.jpg') for i in chosen]
    for path in (toy_data / 'eval_tools/ground_truth').glob('*.mat'):
        content = {key: value for key, value in loadmat(path).items() if not key.startswith('__')}
        stems = [[str(cell[0][0]) for cell in event[0]] for event in content['file_list']]
        for key in content.keys() - {'event_list'}:
            for event, own in enumerate(stems):
                content[key][event, 0] = content[key][event, 0][[stem in names for stem in own]]
        savemat(tmp_path / path.name, content)
    cfg.test_dataloader.dataset.ann_file = str(tmp_path / 'few.txt')
    cfg.test_evaluator.ground_truth = str(tmp_path)
    expected = runner_metrics(cfg, alone['checkpoint'], 2, tmp_path / 'run')
    assert sweep(**alone, ratios=(2,), count=2, seed=5)[2] == expected
    assert sweep(**alone, ratios=(2,), count=9)[2] == runner_metrics(
        alone['cfg'], alone['checkpoint'], 2, tmp_path / 'run'
    )


def test_pairs_are_sampled_whole_and_fold_by_fold(toy_faces, tmp_path):
    cfg, checkpoint = verifier(toy_faces, tmp_path)
    full = sweep(cfg, checkpoint, (1,), cache=tmp_path / 'full.json', device='cpu')[1]
    cfg.test_evaluator.folds = 2
    some = sweep(cfg, checkpoint, (1,), count=11, cache=tmp_path / 'some.json', device='cpu')[1]
    assert some.keys() == full.keys() and 0 <= some['verification/accuracy'] <= 100
    with pytest.raises(ValueError, match='count=1, expected a pair for each of 2 folds'):
        sweep(cfg, checkpoint, (1,), count=1, cache=tmp_path / 'none.json', device='cpu')


def test_pictures_left_out_of_a_coco_sample_do_not_count_as_missed(coco):
    DefaultScope.get_instance('test', scope_name='mmdet')
    root = dict(data_root=f'{coco}/', ann_file='annotations.json', data_prefix=dict(img=''))
    dataset = CocoDataset(**root, metainfo=dict(classes=('person',)), test_mode=True, pipeline=[])
    metric = CocoMetric(ann_file=f'{coco}/annotations.json', metric='bbox')
    module._sample(dataset, [metric], 2, seed=0)
    metric.dataset_meta = dataset.metainfo
    for info in dataset:
        boxes = torch.tensor([instance['bbox'] for instance in info['instances']])
        found = dict(bboxes=boxes, scores=torch.ones(len(boxes)), labels=torch.zeros(len(boxes), dtype=int))
        metric.process({}, [dict(img_id=info['img_id'], ori_shape=(96, 96), pred_instances=found)])
    assert len(dataset) == 2 and metric.evaluate(2)['coco/bbox_mAP'] == 1


class Pairs:
    """Keeps what is asked of a data set."""

    def __init__(self, pairs, same):
        self._metainfo = dict(pairs=pairs, same=same)
        self.chosen = None

    metainfo = property(lambda self: self._metainfo)

    def full_init(self):
        pass

    def get_subset_(self, chosen):
        self.chosen = chosen


def test_sampled_pairs_show_the_pictures_that_they_did():
    generator = np.random.default_rng(0)
    pairs, same = generator.integers(0, 50, (40, 2)), generator.random(40) < 0.5
    data = Pairs(pairs, same)
    module._sample_pairs(data, VerificationMetric(4), 12, seed=1)
    shown = np.array(data.chosen)[data.metainfo['pairs']]
    places = [np.flatnonzero((pairs == pair).all(1))[0] for pair in shown]
    assert np.bincount(np.array(places) // 10).tolist() == [3] * 4 and places == sorted(places)
    assert (data.metainfo['same'] == same[places]).all()
    whole = Pairs(pairs, same)
    module._sample_pairs(whole, VerificationMetric(4), 40, seed=1)
    assert whole.chosen is None


def test_what_cannot_be_sampled_or_tested_is_refused_by_a_sentence(alone, classifier, toy_faces, tmp_path):
    cfg, checkpoint = verifier(toy_faces, tmp_path)
    cfg.test_dataloader.dataset = dict(
        type='TinyFaceDataset', data_root=str(toy_faces), pipeline=cfg.test_dataloader.dataset.pipeline
    )
    cfg.test_evaluator = dict(type='IdentificationMetric')
    with pytest.raises(ValueError, match=r'IdentificationMetric on TinyFaceDataset.*count=None'):
        sweep(cfg, checkpoint, (1,), count=3, cache=tmp_path / 'sweep.json', device='cpu')
    with pytest.raises(ValueError, match='does not fit'):
        sweep(**alone | dict(checkpoint=classifier[1]), ratios=(1,))
    with pytest.raises(FileNotFoundError, match='no checkpoint'):
        sweep(**alone | dict(checkpoint='nowhere.pth'))
    for ratios in ((), (0.5,), (1, np.nan)):
        with pytest.raises(ValueError, match='ratios'):
            sweep(**alone, ratios=ratios)
    with pytest.raises(ValueError, match='count=0'):
        sweep(**alone, count=0)
    with pytest.raises(ValueError, match='test_dataloader'):
        sweep(**alone | dict(cfg=Config(dict(model=cfg.model))))
    assert not alone['cache'].exists()


def test_a_classifier_is_tested_on_a_sample(classifier, tmp_path):
    cfg, checkpoint = classifier
    found = sweep(cfg, checkpoint, (1,), count=4, cache=tmp_path / 'sweep.json', device='cpu')[1]
    assert found['accuracy/top1'] % 25 == 0


@pytest.mark.parametrize(
    'name, split, expected, ratios',
    [
        ('detection/tinaface_r50-bn-cbam_widerface', 'test', dict(ratio=1), [1]),
        ('detection/tinaface_r50-bn-cbam_widerface-16x_askd', 'test', dict(ratio=16), [16]),
        ('recognition/arcface_ir50-cbam_casia-24px', 'val', dict(size=24), [112 / 24]),
        ('small/arcface_ir18-cbam_faces-6px_askd', 'test', dict(size=6), [32 / 6]),
        ('recognition/arcface_ir50-cbam_casia-1x2x4x8x', 'train', dict(ratio=[1, 2, 4, 8]), [1, 2, 4, 8]),
        ('recognition/arcface_ir50-cbam_casia-4x-authors', 'train', dict(ratio=4, recipe='authors'), [4]),
        ('examples/resnet18_imagenet-4x', 'test', dict(ratio=4), [4]),
    ],
)
def test_configs_say_how_they_degrade(name, split, expected, ratios):
    cfg = load_config(f'askd_mmdet::{name}.py')
    assert degradation_of(cfg, split) == expected and trained_ratios(cfg) == ratios


def test_a_hook_may_test_at_another_ratio():
    cfg = Config(dict(custom_hooks=[dict(type='LowResolutionHook', ratio=[1, 4], test_ratio=2)]))
    assert degradation_of(cfg)['ratio'] == 2 and trained_ratios(cfg) == [1, 4]


def test_a_size_in_pixels_is_no_ratio_where_pictures_have_any_size():
    cfg = load_config('askd_mmdet::detection/tinaface_r50-bn-cbam_widerface-16x.py')
    cfg.train_dataloader.dataset.pipeline[-1].update(ratio=None, size=56)
    assert degradation_of(cfg, 'train') == dict(size=56) and trained_ratios(cfg) == []


def test_a_curve_shows_its_numbers_and_where_the_network_was_trained():
    results = {'base': {4: {'x': 20.0}, 1: {'x': 60.0}, 16: {'x': 0.0}}, 'student': {1: {'x': 50.0}, 16: {'x': 40.0}}}
    figure = plot_sweep(results, 'x', dict(base=[4], student=[4, 64]))
    (axes,) = figure.axes
    base, ring, student, other = axes.lines
    assert base.get_xydata().tolist() == [[1, 60], [4, 20], [16, 0]] and ring.get_xydata().tolist() == [[4, 20]]
    assert student.get_xydata().tolist() == [[1, 50], [16, 40]] and other.get_xydata().tolist() == [[4, 45]]
    assert to_hex(base.get_color()) == to_hex(ring.get_color()) != to_hex(student.get_color())
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ['base', 'student']
    assert [label.get_text() for label in axes.get_xticklabels()] == ['1x', '4x', '16x']
    # evenly spaced on the page
    places = axes.transData.transform([(1, 0), (4, 0), (16, 0)])[:, 0]
    assert np.diff(places)[0] == pytest.approx(np.diff(places)[1])


def test_a_network_of_another_task_has_no_place_in_the_curve():
    with pytest.raises(ValueError, match=r'b has no x at \[1\]; it has y'):
        plot_sweep({'a': {1: {'x': 1.0}}, 'b': {1: {'y': 1.0}}}, 'x')
    with pytest.raises(ValueError, match='no network'):
        plot_sweep({}, 'x')
