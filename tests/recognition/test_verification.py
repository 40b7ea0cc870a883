"""The LFW protocol against a plain implementation of its definition."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from askd_mmdet.recognition.verification import Verification, verify


def plain(first, second, same, folds=10):
    """Fold by fold and threshold by threshold."""
    parts = np.array_split(np.arange(len(same)), folds)
    thresholds = np.linspace(-1, 1, 20001)
    accuracies, chosen = [], []
    for part in parts:
        others = np.setdiff1d(np.arange(len(same)), part)
        mean = np.concatenate([first[others], second[others]]).mean(0)
        a, b = first - mean, second - mean
        a /= np.linalg.norm(a, axis=1, keepdims=True)
        b /= np.linalg.norm(b, axis=1, keepdims=True)
        scores = (a * b).sum(1)
        accuracy = np.array([((scores[others] > t) == same[others]).mean() for t in thresholds])
        threshold = thresholds[accuracy == accuracy.max()].mean()
        chosen.append(threshold)
        accuracies.append(((scores[part] > threshold) == same[part]).mean())
    return np.array(accuracies), np.array(chosen)


def make_pairs(seed, count=60, size=8, noise=1.0, offset=0.0):
    rng = np.random.default_rng(seed)
    same = rng.random(count) < 0.5
    same[:2] = True, False
    first = rng.normal(size=(count, size))
    second = np.where(same[:, None], first + noise * rng.normal(size=(count, size)), rng.normal(size=(count, size)))
    return first + offset, second + offset, same


@pytest.mark.parametrize('seed', range(6))
@pytest.mark.parametrize('folds, count', [(10, 60), (10, 67), (3, 20)])
def test_it_agrees_with_the_plain_protocol(seed, folds, count):
    pairs = make_pairs(seed, count, noise=0.3 * seed, offset=3.0 * (seed % 2))
    accuracies, thresholds = plain(*pairs, folds)
    result = verify(*pairs, folds)
    np.testing.assert_allclose(result.accuracies, accuracies, rtol=0, atol=1e-9)
    np.testing.assert_allclose(result.thresholds, thresholds, rtol=0, atol=1e-9)
    assert result.accuracy == pytest.approx(accuracies.mean(), abs=1e-9)
    assert result.std == pytest.approx(accuracies.std(), abs=1e-9)
    parts = np.array_split(result.right, folds)
    assert [part.mean() for part in parts] == pytest.approx(accuracies.tolist())


@given(st.integers(0, 10**6), st.floats(0.1, 10), st.floats(-50, 50))
def test_neither_scale_nor_a_common_offset_matters(seed, scale, offset):
    first, second, same = make_pairs(seed)
    a = verify(first, second, same)
    b = verify(first * scale + offset, second * scale + offset, same)
    np.testing.assert_allclose(b.scores, a.scores, atol=1e-9)


def test_perfect_and_useless_embeddings():
    first, second, same = make_pairs(0, 200, 64, noise=0)
    assert verify(first, second, same).accuracy == 1 and verify(first, second, same).auc == 1
    constant = np.ones_like(first)
    assert 0.3 <= verify(constant, constant, same).accuracy <= 0.7
    assert verify(constant, constant, same).auc == 0.5


def test_the_roc_by_hand():
    """Scores 4 3 2 2 1 of T F T F T: of three persons and two strangers."""
    result = Verification(
        np.ones(1),
        np.ones(1),
        np.array([2.0, 4, 3, 1, 2]),
        np.array([True, True, False, True, False]),
        right=np.ones(5, bool),
    )
    far, tar = result.roc()
    np.testing.assert_allclose(far, [0, 0, 1 / 2, 1, 1])
    np.testing.assert_allclose(tar, [0, 1 / 3, 1 / 3, 2 / 3, 1])
    assert result.tar_at(0.49) == pytest.approx(1 / 3) and result.tar_at(1e-4) == pytest.approx(1 / 3)
    assert result.tar_at(1) == 1
    # 4 beats both, 2 ties with one, 1 beats none: of six pairs
    assert result.auc == pytest.approx((2 + 0.5) / 6)


@given(st.integers(0, 10**6))
def test_the_area_is_the_share_of_rightly_ordered_pairs(seed):
    rng = np.random.default_rng(seed)
    scores, same = rng.integers(0, 6, 30) / 3, rng.random(30) < 0.5
    same[:2] = True, False
    won = np.sign(scores[same][:, None] - scores[~same]) / 2 + 0.5
    assert Verification(np.ones(1), np.ones(1), scores, same, right=same).auc == pytest.approx(won.mean())


def test_pairs_may_be_missing_from_their_folds():
    """Leaving out pairs leaves the folds of the others as they were."""
    first, second, same = make_pairs(1, 100)
    kept = np.ones(100, bool)
    kept[[3, 4, 55]] = False
    folds = np.repeat(np.arange(10), 10)[kept]
    result = verify(first[kept], second[kept], same[kept], folds)
    mean = np.concatenate([first[kept][10 - 2 :], second[kept][10 - 2 :]]).mean(0)
    a, b = first[0] - mean, second[0] - mean
    assert result.scores[0] == pytest.approx(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


@pytest.mark.parametrize(
    'change, message',
    [
        (lambda a, b, s: (a[:7], b[:7], s[:7]), 'found 7 pairs for 10 folds'),
        (lambda a, b, s: (a, b, np.zeros(60, bool)), 'all 60 pairs show two persons'),
        (lambda a, b, s: (a, b, np.ones(60, bool)), 'all 60 pairs show one person'),
        (lambda a, b, s: (a, b, s[:5]), r'found embeddings of shape \(60, 8\) and \(60, 8\) and 5 answers'),
        (lambda a, b, s: (a, b * np.where(np.arange(60) % 50 == 4, np.nan, 1)[:, None], s), r'2 pairs .* \[4, 54\]'),
        (lambda a, b, s: (a, b, s, np.repeat([0, 2], 30)), r'found \[30, 0, 30\] pairs in the folds'),
    ],
)
def test_bad_input_is_named(change, message):
    with pytest.raises(ValueError, match=message):
        verify(*change(*make_pairs(0)))
