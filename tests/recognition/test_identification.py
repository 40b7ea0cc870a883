"""Closed-set identification against sorting the whole matrix of similarities."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from askd_mmdet.recognition.identification import identification_ranks, match_characteristic


def plain(probes, probe_labels, gallery, gallery_labels):
    """The place of the first mate in the sorted gallery."""
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (probes, gallery)]
    order = np.argsort(-(unit[0] @ unit[1].T), axis=1)
    hits = np.asarray(gallery_labels)[order] == np.asarray(probe_labels)[:, None]
    return np.where(hits.any(1), hits.argmax(1) + 1, 0)


@given(st.integers(0, 10**6), st.sampled_from([1, 3, 7, 100]))
def test_it_agrees_with_sorting(seed, block):
    rng = np.random.default_rng(seed)
    probes, gallery = rng.normal(size=(9, 6)), rng.normal(size=(40, 6))
    probe_labels, gallery_labels = rng.integers(0, 12, 9), rng.integers(0, 10, 40)
    gallery_labels[25:] = -100
    found = identification_ranks(probes, probe_labels, gallery, gallery_labels, block)
    assert found.tolist() == plain(probes, probe_labels, gallery, gallery_labels).tolist()


def test_a_tie_counts_against_the_probe():
    same = np.ones((5, 300), np.float32) / 3
    assert identification_ranks(same[:1], [1], same, [1, 2, 3, -100, -100]).tolist() == [5]
    # An exact copy of the mate among the distractors ties in spite of rounding, whatever block it is in.
    rng = np.random.default_rng(0)
    probe, gallery = rng.normal(size=(20, 512)), rng.normal(size=(20, 512))
    gallery += 3 * probe
    labels = np.arange(20)
    both, all_labels = np.concatenate([gallery, 7 * gallery]), np.append(labels, np.full(20, -100))
    for block in (1, 7, 64):
        assert identification_ranks(probe, labels, both, all_labels, block).tolist() == [2] * 20
    assert identification_ranks(probe, labels, gallery, labels).tolist() == [1] * 20


def test_a_gallery_may_stay_on_the_disk(tmp_path):
    rng = np.random.default_rng(1)
    gallery = np.memmap(tmp_path / 'gallery', np.float32, 'w+', shape=(50, 4))
    gallery[:] = rng.normal(size=(50, 4))
    labels = np.arange(50)
    ranks = identification_ranks(gallery[:10] + 0.1, labels[:10], gallery, labels, block=8)
    assert ranks.tolist() == plain(np.array(gallery[:10] + 0.1), labels[:10], np.array(gallery), labels).tolist()


@given(st.lists(st.integers(1, 20), min_size=1), st.integers(1, 25))
def test_the_characteristic_is_the_share_of_ranks_so_far(ranks, length):
    curve = match_characteristic(np.array(ranks), length)
    expected = [np.mean([rank <= k for rank in ranks]) for k in range(1, length + 1)]
    np.testing.assert_allclose(curve, expected)


def test_bad_input_is_named():
    ones = np.ones((3, 2))
    with pytest.raises(ValueError, match=r'found \(3, 2\) embeddings and 2 labels of probes'):
        identification_ranks(ones, [1, 2], ones, [1, 2, 3])
    bad = np.array([[1, 1], [np.nan, 1], [1, 1]])
    with pytest.raises(ValueError, match=r'embeddings of 1 probes are not finite, first those at \[1\]'):
        identification_ranks(bad, [1, 2, 3], ones, [1, 2, 3])
    with pytest.raises(ValueError, match=r'embeddings of 1 gallery faces are not finite, first those at \[4\]'):
        identification_ranks(ones, [1, 2, 3], np.concatenate([ones, bad]), [1, 2, 3, 4, 5, 6], block=2)
    with pytest.raises(ValueError, match='found no probe with a mate in the gallery'):
        match_characteristic(np.array([], int))
