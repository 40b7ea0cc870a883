"""The metric as an evaluation loop calls it, in one process and in two, next to the definition of the protocol."""

import json
import logging
import os
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.multiprocessing
from mmdet.registry import METRICS
from mmdet.structures import DetDataSample
from mmengine.evaluator import Evaluator
from mmengine.logging import MMLogger
from mmengine.structures import InstanceData
from torch.utils.data import DistributedSampler

from askd_mmdet.detection.submission import iterate_submission, read_detections
from askd_mmdet.detection.wider_face_metric import WiderFaceMetric
from askd_mmdet.detection.wider_face_protocol import SETTINGS, WiderFaceScore, load_ground_truth
from tests.detection.test_wider_face_protocol import reference


def make_samples(folder, seed=0):
    """Predictions on the toy validation set, as a detector returns them: near faces, and anywhere."""
    rng = np.random.default_rng(seed)
    samples = []
    for i, (name, faces) in enumerate(load_ground_truth(folder).items()):
        near = np.repeat(faces.boxes, 3, axis=0) + rng.normal(0, 2, (3 * len(faces.boxes), 4))
        boxes = np.vstack([near, rng.uniform(0, 90, (5, 4))])
        boxes[:, 2:] += boxes[:, :2]
        instances = InstanceData(
            bboxes=torch.tensor(boxes, dtype=torch.float32),
            scores=torch.tensor(rng.random(len(boxes)), dtype=torch.float32),
            labels=torch.zeros(len(boxes), dtype=torch.int64),
        )
        metainfo = dict(img_path=f'some/where/{name}.jpg', img_id=i, ori_shape=(96, 96))
        samples.append(DetDataSample(metainfo=metainfo, pred_instances=instances))
    return samples


def defined(folder, samples):
    """AP by the definition of the protocol."""
    detections = {}
    for sample in samples:
        x1, y1, x2, y2 = sample.pred_instances.bboxes.T
        boxes = torch.stack([x1, y1, x2 - x1, y2 - y1], 1)
        detections[name_of(sample)] = boxes.double().tolist(), sample.pred_instances.scores.double().tolist()
    return {f'wider_face/{key}': 100 * ap for key, ap in reference(load_ground_truth(folder), detections).items()}


def name_of(sample):
    return '/'.join(Path(sample.img_path).with_suffix('').parts[-2:])


def evaluate(samples, size=None, metrics=None, **settings):
    evaluator = Evaluator(metrics or dict(type='mmdet.WiderFaceMetric', **settings))
    for start in range(0, len(samples), 2):
        evaluator.process(samples[start : start + 2], {})
    return evaluator.evaluate(size or len(samples))


@pytest.fixture
def folder(toy_data):
    return toy_data / 'eval_tools/ground_truth'


@pytest.fixture
def samples(folder):
    return make_samples(folder)


@pytest.fixture
def warnings():
    """What MMEngine's logger warns of, which it keeps from pytest."""
    messages = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: messages.append(record.getMessage())
    logger = MMLogger.get_current_instance()
    logger.addHandler(handler)
    yield messages
    logger.removeHandler(handler)


def test_ap_is_that_of_the_definition(folder, samples, warnings):
    found = evaluate(samples, ground_truth=str(folder))
    assert found == pytest.approx(defined(folder, samples), abs=1e-9)
    assert all(5 < ap < 95 for ap in found.values())
    assert warnings == []


def test_the_prefix_can_be_changed(folder, samples):
    assert list(evaluate(samples, ground_truth=folder, prefix='val')) == [f'val/{setting}' for setting in SETTINGS]


def test_it_is_registered_and_checks_the_ground_truth_when_built(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'eval_tools/ground_truth'):
        METRICS.build(dict(type='WiderFaceMetric', ground_truth=str(tmp_path)))


def test_a_second_evaluation_starts_afresh(folder, samples):
    metric = WiderFaceMetric(folder)
    first = evaluate(samples, metrics=metric)
    changed = make_samples(folder, seed=1)
    assert evaluate(changed, metrics=metric) == pytest.approx(defined(folder, changed), abs=1e-9)
    assert evaluate(samples, metrics=metric) == first


def test_images_that_were_not_evaluated_are_missed_and_named(folder, samples, warnings):
    found = evaluate(samples[:-3], ground_truth=folder)
    assert found == pytest.approx(defined(folder, samples[:-3]), abs=1e-9)
    names = ', '.join(map(name_of, samples[-3:]))
    (warning,) = warnings
    assert f'3 of the {len(samples)} images of the ground truth were not evaluated' in warning
    assert warning.endswith(f'missed: {names}')


def test_an_image_that_comes_twice_counts_once(folder, samples):
    assert evaluate([*samples, samples[0]], ground_truth=folder) == evaluate(samples, ground_truth=folder)


def test_unreadable_pictures_have_no_detections(folder, samples, tmp_path):
    expected = defined(folder, samples[1:])
    samples[0].set_metainfo(dict(unreadable=(samples[0].img_path,)))
    found = evaluate(samples, ground_truth=folder, submission_dir=str(tmp_path))
    assert found == pytest.approx(expected, abs=1e-9)
    assert len(read_detections(tmp_path / f'{name_of(samples[0])}.txt')[1]) == 0


def test_no_detections(folder, samples):
    for sample in samples:
        sample.pred_instances = sample.pred_instances[:0]
    assert set(evaluate(samples, ground_truth=folder).values()) == {0}


def test_unknown_images_and_broken_scores_are_named(folder, samples):
    metric = WiderFaceMetric(folder)
    scores = samples[1].pred_instances.scores
    scores[2] = torch.nan
    with pytest.raises(ValueError, match=f'{name_of(samples[1])}: 1 of {len(scores)} detections .* NaN'):
        evaluate(samples, metrics=metric)
    samples[0].set_metainfo(dict(img_path='some/where/9--Press_Conference/other.jpg'))
    with pytest.raises(ValueError, match='9--Press_Conference/other is not among the 4 images'):
        evaluate(samples, metrics=metric)


def test_submission_files_score_as_the_metric(folder, samples, tmp_path):
    found = evaluate(samples, ground_truth=folder, submission_dir=str(tmp_path))
    score = WiderFaceScore(load_ground_truth(folder))
    for name, path in iterate_submission(tmp_path):
        score.add(name, *read_detections(path))
    assert score.missing == []
    expected = {f'wider_face/{key}': 100 * ap for key, ap in score.average_precision().items()}
    assert found == pytest.approx(expected, abs=1e-4)
    boxes, scores = read_detections(tmp_path / f'{name_of(samples[0])}.txt')
    x1, y1, x2, y2 = samples[0].pred_instances.bboxes.numpy().T
    np.testing.assert_allclose(boxes, np.stack([x1, y1, x2 - x1, y2 - y1], 1), rtol=1e-8)
    np.testing.assert_allclose(scores, samples[0].pred_instances.scores, rtol=1e-8)


def test_nothing_is_changed_and_coco_metric_sees_the_same(folder, samples):
    for sample in samples:
        sample.set_metainfo(dict(instances=[dict(bbox=[1, 2, 30, 40], bbox_label=0, ignore_flag=0)]))
    before = [sample.pred_instances.bboxes.clone() for sample in samples]
    alone = evaluate(samples, ground_truth=folder)
    coco = dict(type='mmdet.CocoMetric', metric='bbox')
    evaluator = Evaluator([dict(type='mmdet.WiderFaceMetric', ground_truth=folder), coco])
    evaluator.dataset_meta = dict(classes=('face',))
    evaluator.process(samples, {})
    together = evaluator.evaluate(len(samples))
    assert all(torch.equal(sample.pred_instances.bboxes, boxes) for sample, boxes in zip(samples, before))
    assert alone.items() <= together.items() and 'coco/bbox_mAP' in together


def one_of_two(rank, folder, output):
    """What each process of a distributed test does, with the sampler that repeats an image to fill up."""
    os.chdir(output)  # where the processes leave their results to each other
    torch.distributed.init_process_group('gloo', init_method=f'file://{output}/meeting', rank=rank, world_size=2)
    samples = make_samples(folder)[:-1]
    own = [samples[i] for i in DistributedSampler(samples, num_replicas=2, rank=rank, shuffle=False)]
    found = evaluate(own, len(samples), ground_truth=folder, submission_dir=f'{output}/submission')
    Path(output, f'{rank}.json').write_text(json.dumps(found))
    torch.distributed.destroy_process_group()


def test_two_processes_agree_with_one(folder, samples, tmp_path):
    arguments = (str(folder), str(tmp_path))
    torch.multiprocessing.start_processes(one_of_two, arguments, nprocs=2, start_method='fork')
    expected = evaluate(samples[:-1], ground_truth=folder)
    for rank in range(2):
        assert json.loads((tmp_path / f'{rank}.json').read_text()) == expected
    names = [name for name, _ in iterate_submission(tmp_path / 'submission')]
    assert names == sorted(map(name_of, samples[:-1]))
