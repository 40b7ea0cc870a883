"""The A-SKD loss against eq. 7-8 worked out by hand and with numpy."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from scipy.spatial.distance import cosine
from scipy.special import expit

from askd_mmdet.distillation import AttentionSimilarityLoss, attention_similarity
from askd_mmdet.distillation.losses.attention_similarity import summed_attention_similarity


def test_equation_7_by_hand():
    # Image 1: (3, 4) and (4, 3): 1 - 24/25. Image 2: opposite maps: 1 - (-1). Their mean: 1.02.
    student = torch.tensor([[3.0, 4.0], [1.0, 2.0]]).reshape(2, 1, 1, 2)
    teacher = torch.tensor([[4.0, 3.0], [-2.0, -4.0]]).reshape(2, 1, 1, 2)
    assert attention_similarity(student, teacher).item() == pytest.approx((0.04 + 2) / 2)


maps = npst.arrays(
    np.float64,
    (2, 3, 2, 2),
    elements=st.floats(-100, 100).filter(lambda v: v == 0 or abs(v) > 1e-3),
)


@given(maps, maps, st.floats(0.01, 100))
def test_a_distance_of_directions(a, b, scale):
    a[:, 0, 0, 0] += 200  # no zero maps
    b[:, 0, 0, 0] -= 300
    truth = np.mean([cosine(x.ravel(), y.ravel()) for x, y in zip(a, b)])
    a, b = torch.from_numpy(a), torch.from_numpy(b)
    rho = attention_similarity(a, b).item()
    assert rho == pytest.approx(truth, abs=1e-9)
    assert -1e-9 <= rho <= 2 + 1e-9
    assert attention_similarity(b, a).item() == pytest.approx(rho)
    assert attention_similarity(a * scale, b).item() == pytest.approx(rho, abs=1e-9)
    assert attention_similarity(a, a).item() == pytest.approx(0, abs=1e-9)


def layers(seed, shapes=((2, 6, 1, 1), (2, 5, 1, 1)), spatial=((2, 1, 4, 4), (2, 1, 2, 2))):
    generator = torch.Generator().manual_seed(seed)
    return {
        'channel': [torch.randn(shape, generator=generator) for shape in shapes],
        'spatial': [torch.randn(shape, generator=generator) for shape in spatial],
    }


def rho(kind, i, activation):
    return np.mean(
        [cosine(activation(s.ravel()), activation(t.ravel())) for s, t in zip(layers(0)[kind][i], layers(1)[kind][i])]
    )


@pytest.mark.parametrize('mode, activation', [('raw', np.asarray), ('sigmoid', expit)])
def test_equation_8(mode, activation):
    loss = AttentionSimilarityLoss(maps=mode, weight=5.0)
    expected = sum((rho('spatial', i, activation) + rho('channel', i, activation)) / 2 for i in range(2))
    assert loss(layers(0), layers(1)).item() == pytest.approx(5 * expected, rel=1e-5)


@pytest.mark.parametrize('kind', ['channel', 'spatial'])
def test_one_kind_of_map_alone_keeps_its_share_of_equation_8(kind):
    other = {'channel': 'spatial', 'spatial': 'channel'}[kind]
    loss = AttentionSimilarityLoss(**{other: None}, weight=5.0)
    assert list(loss.taps) == [kind]
    expected = 5 * sum(rho(kind, i, np.asarray) / 2 for i in range(2))
    assert loss(layers(0), layers(1)).item() == pytest.approx(expected, rel=1e-5)


def test_without_the_other_kind_the_pull_on_a_map_is_the_same():
    """So the last two rows of table 3 differ by the channel maps alone."""
    pulls = []
    for settings in ({}, dict(channel=None)):
        student = layers(0)
        for maps in student.values():
            for x in maps:
                x.requires_grad_()
        AttentionSimilarityLoss(**settings)(student, layers(1)).backward()
        pulls.append([x.grad for x in student['spatial']])
    for both, spatial in zip(*pulls):
        assert torch.equal(both, spatial) and both.norm() > 0


def test_half_precision_maps_are_compared_in_float32():
    generator = torch.Generator().manual_seed(0)
    student, teacher = (torch.randn(1, 1, 100, 100, generator=generator).bfloat16() for _ in range(2))
    truth = cosine(student.double().numpy().ravel(), teacher.double().numpy().ravel())
    result = attention_similarity(student, teacher)
    assert result.dtype == torch.float32
    assert result.item() == pytest.approx(truth, abs=1e-6)  # bfloat16 itself resolves 1e-2
    # 300 * 300 * 100 * 100 overflows float16
    large = torch.full((1, 1, 100, 100), 300.0).half()
    assert attention_similarity(large, large).item() == pytest.approx(0, abs=1e-6)


def test_gradient_is_the_derivative_and_reaches_the_student_only():
    student = torch.randn(2, 3, 2, 2, dtype=torch.float64, requires_grad=True)
    teacher = torch.randn(2, 3, 2, 2, dtype=torch.float64)
    torch.autograd.gradcheck(lambda s: attention_similarity(s, teacher), [student])


def test_maps_of_different_shape_are_refused():
    with pytest.raises(ValueError, match=r'student \(1, 1, 4, 4\), teacher \(1, 1, 2, 2\)'):
        attention_similarity(torch.ones(1, 1, 4, 4), torch.ones(1, 1, 2, 2))


@pytest.mark.parametrize(
    'settings, message',
    [
        (dict(maps='softmax'), "'raw' or 'sigmoid', got 'softmax'"),
        (dict(channel=None, spatial=None), 'no taps'),
        (dict(weight=-1), 'found weight=-1, expected at least 0'),
    ],
)
def test_wrong_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        AttentionSimilarityLoss(**settings)


def test_stacked_layers_have_the_sum_and_the_gradients_of_one_by_one():
    generator = torch.Generator().manual_seed(0)
    shapes = [(4, 1, 6, 6), (4, 8, 1, 1), (4, 1, 6, 6), (4, 1, 3, 3), (4, 8, 1, 1), (4, 1, 6, 6)]
    teacher = [torch.randn(shape, generator=generator) for shape in shapes]
    student = [torch.randn(shape, generator=generator) for shape in shapes]
    stacked, single = ([x.clone().requires_grad_() for x in student] for _ in range(2))
    total = summed_attention_similarity(zip(stacked, teacher), torch.sigmoid)
    expected = sum(attention_similarity(s.sigmoid(), t.sigmoid()) for s, t in zip(single, teacher))
    total.backward()
    expected.backward()
    torch.testing.assert_close(total, expected)
    for a, b in zip(stacked, single):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-6, atol=1e-9)


def test_stacked_layers_of_a_shape_take_a_quarter_of_the_operators():
    def operators(compare, layers):
        maps = [torch.ones(2, 1, 5, 5, requires_grad=True) for _ in range(layers)]
        with torch.profiler.profile() as profiler:
            compare([(x, x.detach()) for x in maps]).backward()
        return sum(event.name.startswith('aten::') for event in profiler.events())

    def one_by_one(pairs):
        return sum(attention_similarity(*pair) for pair in pairs)

    stacked, single = (operators(f, 9) - operators(f, 1) for f in (summed_attention_similarity, one_by_one))
    assert 4 * stacked < single
