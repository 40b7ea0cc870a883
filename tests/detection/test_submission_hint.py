"""Hints at the format of a submission: each for its own kind, and none for boxes that are right, however bad."""

import numpy as np
import pytest

from askd_mmdet.detection.submission_hint import submission_hint
from askd_mmdet.detection.wider_face_protocol import Faces

WIDTH, HEIGHT = 1024, 680


def ground_truth(rng, pictures, faces):
    """Faces of 8 to 150 pixels, as many as told in each picture."""
    truth = {}
    for i in range(pictures):
        size = np.exp(rng.uniform(np.log(8), np.log(150), (faces, 1))) * (1, 1.3)
        place = rng.random((faces, 2)) * ((WIDTH, HEIGHT) - size)
        truth[f'e/{i}'] = Faces(np.hstack([place, size]).round(), np.ones((faces, 3), bool))
    return truth


def trained(rng, truth, noise=0.07, recall=0.7):
    """Most faces, nearly in place and the larger ones with better scores, and worse boxes elsewhere."""
    detections = {}
    for name, (faces, _) in truth.items():
        found = faces[rng.random(len(faces)) < recall]
        near = found + noise * np.tile(found[:, 2:], 2) * rng.normal(size=found.shape)
        scores = [0.5 + found[:, 3] / 400, 0.5 * rng.random(20)]
        detections[name] = np.vstack([near, anywhere(rng, 20)]), np.concatenate(scores)
    return detections


def anywhere(rng, count):
    return np.column_stack(
        [rng.uniform(0, WIDTH, count), rng.uniform(0, HEIGHT, count), rng.lognormal(3, 0.8, (count, 2))]
    )


def grid(rng, count):
    """Boxes as from anchors."""
    size = 16 * 2.0 ** rng.integers(0, 5, (count, 1)) * (1, 1.3)
    return np.hstack([rng.random((count, 2)) * (WIDTH, HEIGHT) // 8 * 8 - size / 2, size])


def corner(rng, count):
    """The border of the padding: all boxes in the upper left corner."""
    return np.hstack([rng.normal(5, 3, (count, 2)), np.full((count, 2), 24)])


def heap(rng, count):
    """All boxes of a picture at one place."""
    return np.hstack([rng.random(2) * (WIDTH, HEIGHT) + rng.normal(0, 2, (count, 2)), np.full((count, 2), 32)])


FORMATS = {
    'normalised': lambda boxes: boxes / (WIDTH, HEIGHT, WIDTH, HEIGHT),
    'corners': lambda boxes: np.hstack([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]]),
    'resized': lambda boxes: boxes * 1650 / WIDTH,
    'a resized': lambda boxes: boxes / 4,
    'of a resized picture': lambda boxes: boxes * np.tile([640 / WIDTH, 640 / HEIGHT], 2),
}


def change(detections, function):
    return {name: (function(boxes), scores) for name, (boxes, scores) in detections.items()}


@pytest.mark.parametrize('word', FORMATS)
@pytest.mark.parametrize('faces', [1, 12, 80])
@pytest.mark.parametrize('noise', [0, 0.07])
def test_each_kind_is_named(word, faces, noise):
    rng = np.random.default_rng(0)
    truth = ground_truth(rng, 60, faces)
    hint = submission_hint(change(trained(rng, truth, noise), FORMATS[word]), truth)
    assert word in hint


@pytest.mark.parametrize('pictures', [1, 2, 4, 60])
@pytest.mark.parametrize('faces', [1, 12, 80])
def test_right_boxes_get_no_hint(pictures, faces):
    for seed in range(5):
        rng = np.random.default_rng(seed)
        truth = ground_truth(rng, pictures, faces)
        for noise, recall in ((0, 1), (0.07, 0.7), (0.15, 0.3), (0.5, 0.3)):
            assert submission_hint(trained(rng, truth, noise, recall), truth) is None


@pytest.mark.parametrize('pictures', [1, 4, 60])
@pytest.mark.parametrize('faces', [1, 12])
@pytest.mark.parametrize('boxes', [anywhere, grid, corner, heap])
def test_no_format_is_guessed_for_an_untrained_detector(pictures, faces, boxes):
    for seed in range(5):
        rng = np.random.default_rng(seed)
        truth = ground_truth(rng, pictures, faces)
        hint = submission_hint({name: (boxes(rng, 100), rng.random(100)) for name in truth}, truth)
        assert hint is None or 'learnt nothing' in hint


def test_boxes_that_hardly_touch_a_face_are_told_without_a_guess():
    rng = np.random.default_rng(0)
    truth = ground_truth(rng, 120, 1)
    beyond = {name: (np.full((1, 4), 5000.0), np.ones(1)) for name in truth}
    assert submission_hint(beyond, truth).startswith('0.0% of the best detections touch a face')
    found = dict(list(beyond.items())[2:]) | {name: (truth[name].boxes, np.ones(1)) for name in list(truth)[:2]}
    assert submission_hint(found, truth) is None  # two of 120


def test_nothing_to_judge():
    truth = ground_truth(np.random.default_rng(0), 3, 2) | {'e/empty': Faces(np.zeros((1, 4)), np.zeros((1, 3), bool))}
    assert submission_hint({}, truth) is None
    assert submission_hint({'e/0': (np.zeros((0, 4)), np.zeros(0))}, truth) is None
    assert submission_hint({'e/empty': (np.array([[1, 2, 30, 40.0]]), np.ones(1))}, truth) is None
