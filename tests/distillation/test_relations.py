"""The relations of a batch against SciPy, triplet by triplet, and where they have no derivative."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cosine, pdist, squareform

from askd_mmdet.distillation.losses.relations import angle_distance, pair_distances, triplet_cosines


def embeddings(seed, count=6, dims=4):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(count, dims)))


@given(st.integers(0, 10**6))
def test_pair_distances_are_scipys(seed):
    x = embeddings(seed)
    np.testing.assert_allclose(pair_distances(x), squareform(pdist(x)), atol=1e-12)


@given(st.integers(0, 10**6), st.integers(0, 5))
def test_the_gram_matrix_gives_the_cosine_at_every_corner(seed, j):
    x = embeddings(seed)
    found = triplet_cosines(x @ x.T, slice(j, j + 1))[0]
    for i in range(6):
        for k in range(6):
            expected = 0 if j in (i, k) else 1 - cosine(x[i] - x[j], x[k] - x[j])
            assert found[i, k].item() == pytest.approx(expected, abs=1e-9)


def test_angles_by_hand():
    # A right angle between equal legs against three points on a line, whose middle one is the first. The cosines at the
    # three corners are 0, s, s against -1, 1, 1 (s = 1/sqrt(2)), twice each; i = k gives 1 on both sides.
    triangle = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    line = torch.tensor([[0.0], [2.0], [-2.0]]).expand(3, 2)
    s = 0.5**0.5
    expected = 2 * (0.5 * 1**2 + 2 * 0.5 * (1 - s) ** 2) / 27
    assert angle_distance(triangle, line).item() == pytest.approx(expected)


def test_the_gradient_is_the_derivative():
    teacher = embeddings(1)
    student = embeddings(0).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: angle_distance(x, teacher), [student])
    pairs = torch.ones(6, 6).triu(1).bool()  # a point's distance to itself has no derivative
    assert torch.autograd.gradcheck(lambda x: pair_distances(x)[pairs], [student])


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
def test_a_batch_of_one_picture_many_times_has_the_gradient_0(dtype):
    student = torch.ones(5, 3, dtype=dtype, requires_grad=True)
    teacher = embeddings(0, 5, 3).to(dtype)
    (angle_distance(student, teacher) + (pair_distances(student) - pair_distances(teacher)).square().sum()).backward()
    assert torch.equal(student.grad, torch.zeros_like(student))


@given(st.floats(1e-5, 1e-1), st.integers(0, 10**6))
def test_almost_coincident_points_keep_their_angles(gap, seed):
    """Down to a hundred-thousandth of the spread, the Gram matrix loses nothing that matters."""
    x = embeddings(seed)
    x[3] = x[0] + gap * torch.nn.functional.normalize(x[3], dim=0)
    found = triplet_cosines((x - x.mean(0)) @ (x - x.mean(0)).T, slice(0, 1))[0]
    for k in (1, 2, 4, 5):
        assert found[3, k].item() == pytest.approx(1 - cosine(x[3] - x[0], x[k] - x[0]), abs=1e-4)


@pytest.mark.parametrize('shape', [(5, 4), (1, 4), (6, 3)])
def test_embeddings_of_different_shape_are_refused(shape):
    with pytest.raises(ValueError, match=rf'student \(6, 4\), teacher \({shape[0]}, {shape[1]}\)'):
        angle_distance(embeddings(0), torch.ones(shape))
