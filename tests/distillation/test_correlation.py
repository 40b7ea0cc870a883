"""Pearson's r, pure and streamed, against SciPy's on everything at once."""

import tracemalloc
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import pearsonr

from askd_mmdet.distillation.correlation import Correlation, Moments, pearson

PIXELS = st.lists(st.tuples(st.floats(0, 1, width=32), st.floats(0, 1, width=32)), max_size=40)


def scipy_s(a, b):
    """None where SciPy warns, raises, or says nan."""
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        return pearsonr(a, b).statistic if len(a) > 1 and np.ptp(a) and np.ptp(b) else None


def streamed(batches, bins=64):
    correlation = Correlation(bins)
    for student, teacher in batches:
        correlation.update(student, teacher)
    return correlation


def test_it_is_scipy_s():
    rng = np.random.default_rng(0)
    a = rng.normal(size=(7, 11))
    b = rng.normal(size=(7, 11)) - 0.7 * a
    assert pearson(a, b) == pytest.approx(pearsonr(a.ravel(), b.ravel()).statistic, abs=1e-12)
    # By hand: deviations (-1, 0, 1) and (-1, 1, 0), so 1 / (sqrt(2) * sqrt(2)).
    assert pearson([1, 2, 3], [1, 3, 2]) == pytest.approx(0.5)


@given(PIXELS)
def test_r_is_that_of_scipy_or_none_and_never_nan(pixels):
    a, b = np.array(pixels).reshape(-1, 2).T
    r, expected = pearson(a, b), scipy_s(a, b)
    assert (r is None) == (expected is None)
    if r is not None:
        assert -1 <= r <= 1
        if min(np.ptp(a), np.ptp(b)) > 1e-10:  # below, SciPy warns that it is not exact
            assert r == pytest.approx(expected, abs=1e-9)


@given(PIXELS, st.data())
def test_r_does_not_change_with_the_side_the_order_the_scale_and_the_batches(pixels, data):
    a, b = np.array(pixels).reshape(-1, 2).T
    r = pearson(a, b)
    order = data.draw(st.permutations(range(len(a))))
    cut = data.draw(st.integers(0, len(a)))
    parts = [np.array(order[:cut], int), np.array(order[cut:], int)]
    halves = [streamed([(a[part], b[part])]) for part in parts]
    both = streamed([(a[part], b[part]) for part in parts])
    if len(a) < 2 or min(np.ptp(a), np.ptp(b)) < 1e-6:
        return
    for other in (pearson(b, a), -pearson(-2.0 * a, b), both.r, sum(halves, Correlation()).r):
        assert other == pytest.approx(r, abs=1e-6)


@pytest.mark.parametrize('mean, spread', [(0.5, 0.1), (0.9, 1e-4), (0.9, 1e-7), (1e-6, 1e-9)])
def test_half_a_million_numbers_streamed_with_any_mean_and_variance(mean, spread):
    rng = np.random.default_rng(0)
    common, *own = rng.normal(size=(3, 500_000))
    student, teacher = (mean + spread * np.clip(common + noise, -5, 5) for noise in own)
    correlation = streamed(zip(np.array_split(student, 997), np.array_split(teacher, 997)))
    assert correlation.count == 500_000
    assert correlation.r == pytest.approx(pearsonr(student, teacher).statistic, abs=1e-6)
    assert correlation.r == pytest.approx(0.5, abs=0.01)


def test_float32_maps_with_a_variance_near_their_rounding():
    rng = np.random.default_rng(1)
    student, teacher = np.float32(0.75 + 1e-6 * rng.normal(size=(2, 100, 32, 32)))
    correlation = streamed(zip(student, teacher))
    expected = pearsonr(student.ravel().astype(float), teacher.ravel().astype(float)).statistic
    assert correlation.r == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize('value', [0, 0.1, 1 / 3, 0.5, 1])
def test_a_constant_map_has_no_correlation(value):
    """Also where rounding moves the mean of equal numbers, and after many batches."""
    noise = np.random.default_rng(0).random((50, 7))
    constant = np.full(7, value, np.float32)
    assert pearson(constant, noise[0]) is None and pearson(noise[0], constant) is None
    assert streamed((constant, row) for row in noise).r is None
    assert streamed((row, constant) for row in noise).r is None
    assert (streamed([(constant, noise[0])]) + streamed([(constant, noise[1])])).r is None
    # But two constants, one after the other, are no constant: r of (0, 0, 1, 1) with itself is 1.
    zeros, ones = np.zeros(2), np.ones(2)
    assert streamed([(zeros, zeros), (ones, ones)]).r == pytest.approx(1)


@pytest.mark.parametrize('count', [0, 1])
def test_one_number_has_no_correlation(count):
    assert pearson(np.ones(count), np.zeros(count)) is None
    correlation = streamed([(np.ones(count), np.zeros(count))])
    assert correlation.r is None and correlation.count == count == correlation.histogram.sum()


def test_the_histogram_is_numpy_s_with_the_student_along_the_first_axis():
    rng = np.random.default_rng(0)
    student, teacher = rng.random((2, 3, 1, 20, 20)).astype(np.float32)
    student[0, 0, 0, :3] = [0, 1, 0.25]
    teacher[0, 0, 0, :3] = [1, 1, 0.5]
    expected, _, _ = np.histogram2d(student.ravel(), teacher.ravel(), bins=8, range=[[0, 1], [0, 1]])
    found = streamed(zip(student, teacher), bins=8).histogram
    assert found.dtype == np.int64 and np.array_equal(found, expected)
    assert found[0, 7] and found[7, 7] and found[2, 4]


def test_tensors_of_any_type_are_taken():
    student, teacher = torch.rand(2, 4, 1, 5, 5, requires_grad=True)
    expected = pearsonr(student.detach().numpy().ravel(), teacher.detach().numpy().ravel()).statistic
    assert streamed([(student, teacher)]).r == pytest.approx(expected, abs=1e-6)
    half = student.detach().bfloat16(), teacher.detach().bfloat16()
    assert pearson(*half) == pytest.approx(pearsonr(*(x.double().numpy().ravel() for x in half)).statistic, abs=1e-9)


def test_the_parts_of_several_processes_join():
    rng = np.random.default_rng(0)
    student, teacher = rng.random((2, 9, 30))
    parts = [streamed(zip(student[i::3], teacher[i::3])) for i in range(3)]
    whole, joined = streamed(zip(student, teacher)), sum(parts, Correlation())
    assert joined.count == 270 and joined.r == pytest.approx(whole.r, abs=1e-12)
    assert np.array_equal(joined.histogram, whole.histogram)
    assert parts[0].count == 90  # as it was


def test_memory_does_not_grow_with_the_number_of_maps():
    maps = np.random.default_rng(0).random((2, 16, 14, 14)).astype(np.float32)
    correlation = streamed([maps])
    tracemalloc.start()
    for _ in range(2):
        correlation.update(*maps)
    tracemalloc.reset_peak()
    first = tracemalloc.get_traced_memory()[1]
    for _ in range(300):
        correlation.update(*maps)
    later = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert correlation.count == 303 * 16 * 14 * 14 and later < first + 50_000


@pytest.mark.parametrize(
    'student, teacher, message',
    [
        ([0.1, 0.2], [0.1], r'found \(2,\) and \(1,\), expected two maps of one shape'),
        ([0.1, 1.2], [0.1, 0.2], r'outside \[0, 1\], expected those of eq. 5-6, after the sigmoid'),
        ([0.1, 0.2], [-0.1, 0.2], r'outside \[0, 1\]'),
        ([0.1, np.nan], [0.1, 0.2], r'outside \[0, 1\]'),
    ],
)
def test_other_maps_are_refused(student, teacher, message):
    correlation = Correlation()
    with pytest.raises(ValueError, match=message):
        correlation.update(student, teacher)
    assert correlation.count == 0 and not correlation.histogram.any()


def test_moments_of_a_diverged_network_say_none():
    assert Moments.of([np.nan, 0.5], [0.1, 0.2]).r is None
    assert (Moments.of([0.1, 0.5], [0.1, 0.2]) + Moments.of([0.1, 0.5], [0.1, np.nan])).r is None


def test_other_input_is_refused():
    with pytest.raises(ValueError, match=r'found \(2,\) and \(3,\)'):
        pearson([1, 2], [1, 2, 3])
    with pytest.raises(ValueError, match='not finite'):
        pearson([1, np.inf], [1, 2])
    with pytest.raises(ValueError, match='found 2 and 64 bins'):
        Correlation(2) + Correlation()
    for bins in (0, 1.5, None):
        with pytest.raises(ValueError, match='Correlation: found bins='):
            Correlation(bins)
