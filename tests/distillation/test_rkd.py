"""RKD against its formula, number by number, and what its relations do not see."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmengine.registry import MODELS

from askd_mmdet.distillation.losses.relations import relative_distances


def embeddings(seed, shape=(6, 4), scale=1.0):
    return torch.from_numpy(scale * np.random.default_rng(seed).normal(size=shape))


def loss(student, teacher, **settings):
    rkd = MODELS.build(dict(type='RelationLoss', **settings))
    return rkd(dict(embeddings=[student]), dict(embeddings=[teacher]))


def huber(x):
    return x**2 / 2 if abs(x) < 1 else abs(x) - 0.5


def angle(a, corner, b):
    a, b = a - corner, b - corner
    return a @ b / np.sqrt(a @ a) / np.sqrt(b @ b) if a.any() and b.any() else 0.0


def brute_force(student, teacher):
    """Mean Huber losses: pairs' distances, in units of the mean of those above 0, and triplets' angles."""
    s, t = student.double().numpy(), teacher.double().numpy()
    n = len(s)
    distances = []
    for x in (s, t):
        all_pairs = [np.sqrt(((x[i] - x[j]) ** 2).sum()) for i in range(n) for j in range(n)]
        apart = [d for d in all_pairs if d > 0]
        mean = sum(apart) / len(apart) if apart else 1
        distances.append([d / mean for d in all_pairs])
    triplets = [(i, j, k) for i in range(n) for j in range(n) for k in range(n)]
    return (
        np.mean([huber(a - b) for a, b in zip(*distances)]),
        np.mean([huber(angle(s[i], s[j], s[k]) - angle(t[i], t[j], t[k])) for i, j, k in triplets]),
    )


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize('seed', range(3))
def test_the_loss_is_its_formula(seed, dtype):
    student, teacher = embeddings(seed).to(dtype), embeddings(seed + 100, scale=7).to(dtype)
    student[4] = student[1]
    distances, angles = brute_force(student, teacher)
    found = loss(student, teacher)
    assert found.dtype == torch.promote_types(dtype, torch.float32)
    assert found.item() == pytest.approx(25 * distances + 50 * angles, rel=1e-5)
    assert loss(student, teacher, distances=1, angles=0).item() == pytest.approx(distances, rel=1e-5)
    assert loss(student, teacher, distances=0, angles=1).item() == pytest.approx(angles, rel=1e-5)
    assert loss(student, teacher, weight=0.5).item() == pytest.approx(found.item() / 2)


def test_by_hand():
    # Three points in a row, at 0, 1, 2: distances 1, 1, 2 over their mean 4/3. An equilateral triangle: 1, 1, 1.
    # Angles: cosines 1, -1, 1 at the three corners against 1/2, twice each; where i = k it is 1 on both sides.
    row = torch.tensor([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0]])
    triangle = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.5, 0.75**0.5]])
    distances = 2 * (2 * 0.25**2 / 2 + 0.5**2 / 2) / 9
    angles = 2 * (2 * 0.5**2 / 2 + 1) / 27
    assert loss(row, triangle, distances=1, angles=0).item() == pytest.approx(distances)
    assert loss(row, triangle, distances=0, angles=1).item() == pytest.approx(angles)


def test_the_taps_of_several_modules_are_summed():
    rkd = MODELS.build(dict(type='RelationLoss'))
    student, teacher = ([embeddings(seed + i) for i in range(2)] for seed in (0, 10))
    expected = sum(loss(s, t) for s, t in zip(student, teacher))
    torch.testing.assert_close(rkd(dict(embeddings=student), dict(embeddings=teacher)), expected)
    with pytest.raises(ValueError):
        rkd(dict(embeddings=student), dict(embeddings=teacher[:1]))


@given(st.integers(0, 10**6), st.floats(1e-3, 1e3), st.floats(-5, 5))
def test_neither_scale_nor_a_rigid_motion_matters(seed, scale, offset):
    student, teacher = embeddings(seed), embeddings(seed + 1)
    rotation, _ = np.linalg.qr(np.random.default_rng(seed + 2).normal(size=(4, 4)))
    moved = scale * (student @ torch.from_numpy(rotation) + offset)
    torch.testing.assert_close(loss(moved, teacher), loss(student, teacher), rtol=1e-6, atol=1e-9)
    assert loss(moved, student).item() < 1e-9


@given(st.integers(0, 10**6))
def test_relative_distances_average_to_1_where_points_differ(seed):
    x = embeddings(seed)
    x[3] = x[0]
    found = relative_distances(x)
    assert found[found > 0].mean().item() == pytest.approx(1)
    assert found[0, 3] == found[3, 0] == 0 and (found > 0).sum() == 6 * 5 - 2


def test_the_gradient_is_the_derivative():
    teacher = embeddings(1)
    student = embeddings(0).requires_grad_()
    off_diagonal = ~torch.eye(6, dtype=torch.bool)  # a point's distance to itself has no derivative
    assert torch.autograd.gradcheck(lambda x: relative_distances(x)[off_diagonal], [student])
    # Steps of 1e-6 shift the zeros on the diagonal by nothing, so that the whole loss can be checked as well.
    for settings in (dict(angles=0.0), dict(distances=0.0), {}):
        assert torch.autograd.gradcheck(lambda x, settings=settings: loss(x, teacher, **settings), [student])


def test_the_teacher_gets_no_gradient_from_its_angles_and_an_equal_student_none_at_all():
    teacher = embeddings(1, scale=3)
    student = (2 * teacher + 1).requires_grad_()
    value = loss(student, teacher)
    value.backward()
    assert value.item() < 1e-9 and student.grad.abs().max() < 1e-6


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
@pytest.mark.parametrize('same', ['student', 'teacher', 'both'])
def test_a_batch_of_one_picture_many_times_has_a_finite_loss_and_gradient(dtype, same):
    ones = torch.ones(5, 4, dtype=dtype)
    student = (ones.clone() if same != 'teacher' else embeddings(0, (5, 4)).to(dtype)).requires_grad_()
    teacher = ones if same != 'student' else embeddings(0, (5, 4)).to(dtype)
    value = loss(student, teacher)
    value.backward()
    assert value.isfinite() and student.grad.isfinite().all()
    distances, angles = brute_force(student.detach(), teacher)
    assert value.item() == pytest.approx(25 * distances + 50 * angles, rel=1e-5, abs=1e-12)
    assert (value.item() == 0) == (same == 'both')


def test_one_picture_has_no_relations():
    student = torch.ones(1, 4, requires_grad=True)
    value = loss(student, torch.zeros(1, 4))
    value.backward()
    assert value.item() == 0 and torch.equal(student.grad, torch.zeros(1, 4))


def test_the_same_picture_twice_gives_a_bounded_gradient():
    student = embeddings(0).float()
    student[3] = student[0]
    student.requires_grad_()
    loss(student, embeddings(1).float()).backward()
    assert student.grad.isfinite().all() and 0 < student.grad.abs().max() < 100


@pytest.mark.parametrize('shape', [(5, 4), (1, 4), (6, 3)])
def test_embeddings_of_different_shape_are_refused(shape):
    with pytest.raises(ValueError, match=rf'student \(6, 4\), teacher \({shape[0]}, {shape[1]}\)'):
        loss(embeddings(0), torch.ones(shape))
