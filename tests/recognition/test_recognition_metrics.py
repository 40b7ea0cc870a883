"""Both metrics in MMEngine's evaluator, against their pure functions."""

import logging

import numpy as np
import pytest
import torch
from mmengine.evaluator import Evaluator
from mmengine.logging import MMLogger
from mmengine.registry import DefaultScope
from mmpretrain.structures import DataSample
from PIL import Image

from askd_mmdet.recognition.embedding_metric import mean_cosine
from askd_mmdet.recognition.identification import identification_ranks
from askd_mmdet.recognition.verification import verify


def evaluate(metric, meta, embeddings, unreadable=(), order=None, **settings):
    """Process pictures in batches of three, in any order, as a test loop does."""
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        evaluator = Evaluator(dict(type=metric, **settings))
    evaluator.dataset_meta = meta
    order = np.arange(len(embeddings)) if order is None else order
    for start in range(0, len(order), 3):
        batch = []
        for i in order[start : start + 3]:
            sample = DataSample(metainfo=dict(sample_idx=int(i), img_path=f'{i}.jpg'))
            sample.set_field(torch.from_numpy(embeddings[i]), 'embedding')
            if i in unreadable:
                sample.set_metainfo(dict(unreadable=(f'{i}.jpg',)))
            batch.append(sample)
        evaluator.process(batch, None)
    return evaluator.evaluate(len(order))


@pytest.fixture
def log(caplog):
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    caplog.set_level(logging.INFO)
    yield caplog
    logger.removeHandler(caplog.handler)


@pytest.fixture
def pairs():
    rng = np.random.default_rng(0)
    embeddings = rng.normal(size=(50, 8)).astype(np.float32)
    pairs = np.sort(rng.permuted(np.tile(np.arange(50), (40, 1)), axis=1)[:, :2])
    pairs[0] = 48, 49
    same = (embeddings[pairs[:, 0]] * embeddings[pairs[:, 1]]).sum(1) + rng.normal(size=40) > 0
    return embeddings, dict(pairs=pairs, same=same)


def test_verification_equals_the_pure_function(pairs, tmp_path):
    embeddings, meta = pairs
    expected = verify(*embeddings[meta['pairs'].T], meta['same'])
    order = np.random.default_rng(1).permutation(50)
    found = evaluate('VerificationMetric', meta, embeddings, order=order, out_dir=str(tmp_path / 'curves'))
    assert found == {
        'verification/accuracy': 100 * expected.accuracy,
        'verification/std': 100 * expected.std,
        'verification/tar@far=0.001': 100 * expected.tar_at(1e-3),
        'verification/tar@far=0.0001': 100 * expected.tar_at(1e-4),
        'verification/auc': 100 * expected.auc,
    }
    table = np.loadtxt(tmp_path / 'curves/roc.csv', delimiter=',', skiprows=1)
    np.testing.assert_allclose(table, np.stack(expected.roc(), 1), atol=1e-8)
    assert Image.open(tmp_path / 'curves/roc.png').size[0] > 100
    answers = np.loadtxt(tmp_path / 'curves/answers.csv', delimiter=',', skiprows=1)
    columns = [np.arange(40), np.repeat(np.arange(10), 4), meta['same'], expected.scores, expected.right]
    np.testing.assert_allclose(answers, np.stack(columns, 1), atol=1e-8)


def test_pairs_with_an_unreadable_picture_are_left_out_of_their_folds(pairs, log):
    embeddings, meta = pairs
    kept = ~np.isin(meta['pairs'], [3, 17]).any(1)
    expected = verify(*embeddings[meta['pairs'][kept].T], meta['same'][kept], np.repeat(np.arange(10), 4)[kept])
    found = evaluate('VerificationMetric', meta, embeddings, unreadable=(3, 17))
    assert found['verification/accuracy'] == 100 * expected.accuracy
    assert f'left out {(~kept).sum()} of 40 pairs: 2 pictures could not be read' in log.text


def test_folds_without_a_readable_pair_are_left_out_and_counted(pairs, log):
    """Whether it is the last one or another: the rest is verified as if they had never been."""
    embeddings, meta = pairs
    for fold in (9, 4):
        pictures = set(meta['pairs'][fold * 4 : fold * 4 + 4].ravel().tolist())
        kept = ~np.isin(meta['pairs'], [*pictures]).any(1)
        folds = np.repeat(np.arange(10), 4)[kept]
        expected = verify(
            *embeddings[meta['pairs'][kept].T], meta['same'][kept], np.searchsorted(np.unique(folds), folds)
        )
        found = evaluate('VerificationMetric', meta, embeddings, unreadable=pictures)
        assert found['verification/accuracy'] == 100 * expected.accuracy
        assert f'nothing is left of {10 - len(set(folds))} folds' in log.text
        log.clear()


def test_the_folds_are_those_of_the_data_set_unless_others_are_set(pairs):
    embeddings, meta = pairs
    two, three = (100 * verify(*embeddings[meta['pairs'].T], meta['same'], folds=folds).accuracy for folds in (2, 3))
    assert evaluate('VerificationMetric', meta | dict(folds=2), embeddings)['verification/accuracy'] == two != three
    assert evaluate('VerificationMetric', meta | dict(folds=2), embeddings, folds=3)['verification/accuracy'] == three
    assert evaluate('VerificationMetric', meta | dict(folds=None), embeddings) == evaluate(
        'VerificationMetric', meta, embeddings, folds=10
    )


def test_folds_of_one_kind_are_warned_of(pairs, log):
    """A list with all pairs of one person first, as those that LFW has to develop with."""
    embeddings, meta = pairs
    order = np.argsort(~meta['same'], kind='stable')
    by_kind = dict(pairs=meta['pairs'][order], same=meta['same'][order])
    one_kind = sum(len(set(fold)) == 1 for fold in np.split(by_kind['same'], 10))
    evaluate('VerificationMetric', by_kind, embeddings)
    assert f'{one_kind} of 10 folds hold pairs of one kind alone' in log.text
    log.clear()
    evaluate('VerificationMetric', meta, embeddings, folds=2)
    assert 'of one kind' not in log.text


def test_what_verification_cannot_use_is_named(pairs):
    embeddings, meta = pairs
    with pytest.raises(ValueError, match='found 40 pairs for 41 folds'):
        evaluate('VerificationMetric', meta, embeddings, folds=41)
    with pytest.raises(ValueError, match='2 of 50 pictures were not evaluated'):
        evaluate('VerificationMetric', meta, embeddings, order=np.arange(48))
    embeddings[7, 3] = np.nan
    with pytest.raises(ValueError, match=r'the embedding of 7\.jpg is not finite'):
        evaluate('VerificationMetric', meta, embeddings)


@pytest.mark.parametrize('shift', [0.0, 1.0, 100.0])
def test_embeddings_that_point_one_way_are_warned_of(pairs, log, shift):
    embeddings, meta = pairs
    embeddings = embeddings + np.float32(shift)
    embeddings[17] = -embeddings[0]  # of a picture that could not be read
    readable = np.delete(embeddings, 17, axis=0).astype(np.float64)
    readable /= np.linalg.norm(readable, axis=1, keepdims=True)
    alike = np.mean((readable @ readable.T)[~np.eye(49, dtype=bool)])
    assert mean_cosine(np.delete(embeddings, 17, axis=0)) == pytest.approx(alike, abs=1e-6)
    evaluate('VerificationMetric', meta, embeddings, unreadable=[17])
    assert (shift == 100) == (alike > 0.9)
    assert (f'the mean cosine of two is {alike:.2f}' in log.text) == (shift == 100)


@pytest.fixture
def faces():
    rng = np.random.default_rng(0)
    embeddings = rng.normal(size=(60, 6)).astype(np.float32)
    labels = np.concatenate([np.arange(12), np.arange(2, 20), np.full(30, -100)])
    embeddings[12:22] += embeddings[2:12]
    return embeddings, dict(labels=labels, is_probe=np.arange(60) < 12)


def test_identification_equals_the_pure_function(faces, tmp_path, log):
    embeddings, meta = faces
    labels, added = meta['labels'], embeddings[:, :3] + embeddings[:, 3:]
    ranks = identification_ranks(added[2:12], labels[2:12], added[12:], labels[12:])
    apart = identification_ranks(embeddings[2:12], labels[2:12], embeddings[12:], labels[12:])
    assert not np.array_equal(ranks, apart)  # or the test could not tell
    assert len(set(ranks)) > 2
    found = evaluate('IdentificationMetric', meta, embeddings, out_dir=str(tmp_path))
    assert found == {f'identification/rank@{k}': 100 * np.mean(ranks <= k) for k in (1, 5, 10, 50)}
    assert '2 probes have no mate in the gallery and were left out' in log.text
    table = np.loadtxt(tmp_path / 'cmc.csv', delimiter=',', skiprows=1)
    np.testing.assert_allclose(table, [[k, np.mean(ranks <= k)] for k in range(1, 49)], atol=1e-8)


def share_found(embeddings, labels, is_probe, unreadable, rank):
    """The share of probes found within a rank, face by face from its definition."""
    faces = [face / np.linalg.norm(face) for face in (embeddings[:, :3] + embeddings[:, 3:]).astype(float)]
    gallery = [i for i in range(len(labels)) if not is_probe[i]]
    hits = []
    for probe in np.flatnonzero(is_probe):
        if not any(labels[i] == labels[probe] for i in gallery):
            continue
        found = sorted((i for i in gallery if i not in unreadable), key=lambda i: -faces[probe] @ faces[i])
        hits.append(probe not in unreadable and labels[probe] in [labels[i] for i in found[:rank]])
    return np.mean(hits)


@pytest.mark.parametrize(
    'unreadable, messages',
    [
        # The mate of probe 3 is picture 13, that of probe 5 picture 15; 40 is a distractor.
        ((5, 13, 40), ['1 probes could not be read', '1 probes whose mates could not', '2 gallery faces could not']),
        ((13, 14, 15, 16), ['4 probes whose mates could not be read count as missed']),
        (tuple(range(12, 60)), ['10 probes whose mates could not be read count as missed']),
    ],
)
def test_a_probe_is_missed_when_it_or_its_mates_cannot_be_read(faces, log, unreadable, messages):
    embeddings, meta = faces
    found = evaluate('IdentificationMetric', meta, embeddings, unreadable=unreadable, ranks=(1, 5, 10))
    assert found == {
        f'identification/rank@{k}': 100 * share_found(embeddings, **meta, unreadable=unreadable, rank=k)
        for k in (1, 5, 10)
    }
    for message in ('2 probes have no mate in the gallery', *messages):
        assert message in log.text


def test_one_readable_mate_is_enough(faces):
    embeddings, meta = faces
    labels = meta['labels'].copy()
    labels[30:40] = labels[2:12]  # a second mate for each
    meta = dict(meta, labels=labels)
    found = evaluate('IdentificationMetric', meta, embeddings, unreadable=(13, 14), ranks=(1, 20))
    assert found == {
        f'identification/rank@{k}': 100 * share_found(embeddings, **meta, unreadable=(13, 14), rank=k) for k in (1, 20)
    }


def test_what_identification_cannot_use_is_named(faces):
    embeddings, meta = faces
    with pytest.raises(ValueError, match='found no probe with a mate in the gallery'):
        evaluate('IdentificationMetric', dict(meta, labels=np.arange(60)), embeddings)
    with pytest.raises(ValueError, match='expected all probes first'):
        evaluate('IdentificationMetric', dict(meta, is_probe=~meta['is_probe']), embeddings)
