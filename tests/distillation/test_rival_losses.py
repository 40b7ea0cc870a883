"""The losses of the rival methods, each against its formula in numpy and scipy."""

import subprocess
import sys
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmengine.registry import MODELS
from scipy.special import rel_entr, softmax
from scipy.stats import pearsonr, zscore

from askd_mmdet.distillation import HybridOrderRelationLoss
from askd_mmdet.distillation.losses.channel_wise import channel_wise_divergence
from askd_mmdet.distillation.losses.class_relation import pearson_distance
from askd_mmdet.distillation.losses.normalised_feature import normalised_distance
from askd_mmdet.distillation.losses.relations import angle_distance, pair_distances
from tests.toy_run import ROOT


def features(seed, shape=(3, 4, 5, 6), count=2, dtype=torch.float32):
    """Outputs of `count` modules of a student and of a teacher."""
    generator = torch.Generator().manual_seed(seed)
    return [[torch.randn(shape, generator=generator, dtype=dtype) for _ in range(count)] for _ in range(2)]


def evaluate(loss, student, teacher):
    (kind,) = loss.taps
    return loss({kind: student}, {kind: teacher})


def kl(student, teacher, temperature, scale):
    s, t = (softmax(scale * x.double().numpy() / temperature, axis=1) for x in (student, teacher))
    return temperature**2 * rel_entr(t, s).sum(1).mean()


def q(feature):
    """AT's map, as its formula reads."""
    energy = (np.abs(feature.double().numpy()) ** 2).sum(1).reshape(len(feature), -1)
    return energy / np.sqrt((energy**2).sum(1, keepdims=True))


def cosine_distance(a, b):
    a, b = (np.asarray(x).reshape(len(x), -1) for x in (a, b))
    return np.mean(1 - (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1))


def huber(x):
    return np.where(np.abs(x) < 1, x**2 / 2, np.abs(x) - 0.5)


def angles(x):
    """Cosine at j between i and k, for all triplets, one by one."""
    n = len(x)
    out = np.zeros((n, n, n))
    for i in range(n):
        for j in range(n):
            for k in range(n):
                a, b = x[i] - x[j], x[k] - x[j]
                lengths = np.linalg.norm(a) * np.linalg.norm(b)
                out[i, j, k] = a @ b / lengths if lengths else 0
    return out


def horkd(student, teacher, orders=(1, 20, 25)):
    s, t = student.double().numpy(), teacher.double().numpy()
    distances = [np.linalg.norm(x[:, None] - x, axis=2) for x in (s, t)]
    distances = [x / x[x > 0].mean() for x in distances]
    terms = np.abs(s - t).mean(), huber(distances[0] - distances[1]).mean(), huber(angles(s) - angles(t)).mean()
    return np.dot(orders, terms)


def cwd(student, teacher, temperature, weight):
    """Channel by channel."""
    divergences = [
        kl(s.reshape(1, -1), t.reshape(1, -1), temperature, 1)
        for s, t in zip(student.flatten(0, 1), teacher.flatten(0, 1))
    ]
    return weight * np.mean(divergences)


def pkd(student, teacher):
    """Half the squared difference of what `zscore` makes of each channel."""
    s, t = (zscore(x.double().numpy(), axis=(0, *range(2, x.ndim))) for x in (student, teacher))
    return 10 * ((s - t) ** 2).mean() / 2


def dist(student, teacher, temperature, between, within, scale=1):
    s, t = (softmax(scale * x.double().numpy() / temperature, axis=1) for x in (student, teacher))
    rows = np.mean([1 - pearsonr(a, b).statistic for a, b in zip(s, t)])
    columns = np.mean([1 - pearsonr(a, b).statistic for a, b in zip(s.T, t.T)])
    return temperature**2 * (between * rows + within * columns)


FORMULAS = {
    'kd': (
        dict(type='LogitLoss', tap='head.fc', weight=2.0),
        lambda s, t: 2 * kl(s, t, 4, 1),
        (5, 7),
    ),
    'kd-arcface': (
        dict(type='LogitLoss', tap='head.norm_product', scale=32.0, temperature=2.0),
        lambda s, t: kl(s, t, 2, 32),
        (5, 7),
    ),
    'f-kd': (
        dict(type='FeatureLoss', weight=3.0),
        lambda s, t: 3 * np.mean((s.double() - t.double()).numpy() ** 2),
        (5, 7),
    ),
    'at': (dict(type='AttentionTransferLoss'), lambda s, t: 1000 * np.mean((q(s) - q(t)) ** 2), (3, 4, 5, 6)),
    'at*': (
        dict(type='AttentionTransferLoss', distance='cosine', weight=5.0),
        lambda s, t: 5 * cosine_distance(q(s), q(t)),
        (3, 4, 5, 6),
    ),
    'f-skd': (
        dict(type='FeatureSimilarityLoss'),
        lambda s, t: 5 * cosine_distance(s.double(), t.double()),
        (3, 4, 5, 6),
    ),
    'horkd': (dict(type='HybridOrderRelationLoss'), horkd, (6, 5)),
    'horkd-weighted': (
        dict(type='HybridOrderRelationLoss', orders=(1.0, 0.5, 20.0), weight=2.0),
        lambda s, t: 2 * horkd(s, t, (1, 0.5, 20)),
        (6, 5),
    ),
    'cwd': (dict(type='ChannelWiseLoss'), lambda s, t: cwd(s, t, 1, 5), (3, 4, 5, 6)),
    'cwd-paper': (
        dict(type='ChannelWiseLoss', temperature=4.0, weight=50.0),
        lambda s, t: cwd(s, t, 4, 50),
        (3, 4, 5, 6),
    ),
    'pkd': (dict(type='NormalisedFeatureLoss'), pkd, (3, 4, 5, 6)),
    'dist': (dict(type='ClassRelationLoss'), lambda s, t: dist(s, t, 1, 2, 2), (6, 5)),
    'dist-weighted': (
        dict(type='ClassRelationLoss', between=1.0, within=0.5, temperature=4.0, weight=3.0),
        lambda s, t: 3 * dist(s, t, 4, 1, 0.5),
        (6, 5),
    ),
    'dist-arcface': (
        dict(type='ClassRelationLoss', tap='head.norm_product', scale=32.0, temperature=4.0),
        lambda s, t: dist(s, t, 4, 2, 2, 32),
        (6, 5),
    ),
}


@pytest.mark.parametrize('name', FORMULAS)
@pytest.mark.parametrize('seed', range(3))
def test_the_loss_is_its_formula_summed_over_the_taps(name, seed):
    config, formula, shape = FORMULAS[name]
    student, teacher = features(seed, shape)
    found = evaluate(MODELS.build(config), student, teacher)
    assert found.item() == pytest.approx(sum(map(formula, student, teacher)), rel=1e-4)


@pytest.mark.parametrize('name', FORMULAS)
def test_only_the_student_gets_a_gradient_and_none_where_both_agree(name):
    config, _, shape = FORMULAS[name]
    loss = MODELS.build(config)
    student, teacher = features(0, shape, count=1)
    student[0].requires_grad_()
    evaluate(loss, student, teacher).backward()
    assert student[0].grad.isfinite().all() and student[0].grad.norm() > 0
    same = teacher[0].clone().requires_grad_()
    value = evaluate(loss, [same], teacher)
    value.backward()
    assert abs(value.item()) < 1e-3 and same.grad.norm() < 1e-3 * student[0].grad.norm().clamp(min=1)


@pytest.mark.parametrize('name', FORMULAS)
def test_half_precision_is_computed_in_float32(name):
    config, formula, shape = FORMULAS[name]
    student, teacher = (x[0].to(torch.bfloat16) for x in features(0, shape))
    found = evaluate(MODELS.build(config), [student], [teacher])
    assert found.dtype == torch.float32 and found.item() == pytest.approx(formula(student, teacher), rel=1e-3)


@pytest.mark.parametrize('name', FORMULAS)
def test_outputs_of_different_shape_are_refused(name):
    config, _, shape = FORMULAS[name]
    student, teacher = features(0, shape)
    with pytest.raises(ValueError, match=r'tapped outputs differ in shape: student \(.*\), teacher \('):
        evaluate(MODELS.build(config), [student[0][:, :-1]], teacher[:1])


def test_channels_of_a_single_number_are_refused():
    student, teacher = torch.randn(2, 1, 3, 1, 1)
    with pytest.raises(ValueError, match=r'found features \(1, 3, 1, 1\), expected several numbers in each channel'):
        evaluate(MODELS.build(dict(type='NormalisedFeatureLoss')), [student], [teacher])


@pytest.mark.parametrize(
    'config, message',
    [
        (dict(type='AttentionTransferLoss', distance='l1'), "distance must be 'l2' or 'cosine', got 'l1'"),
        (dict(type='LogitLoss', tap='x', temperature=0), 'found temperature=0, expected above 0'),
    ],
)
def test_wrong_settings_are_named(config, message):
    with pytest.raises(ValueError, match=message):
        MODELS.build(config)


@given(st.integers(0, 10**6), st.floats(0.1, 10), st.floats(-5, 5))
def test_relations_do_not_see_a_rigid_motion_and_angles_not_even_a_scale(seed, scale, offset):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(5, 4))
    rotation, _ = np.linalg.qr(rng.normal(size=(4, 4)))
    moved = torch.from_numpy(x @ rotation + offset)
    x = torch.from_numpy(x)
    torch.testing.assert_close(pair_distances(moved), pair_distances(x))
    assert angle_distance(scale * moved, x).item() < 1e-12


@given(st.integers(0, 10**6), st.floats(0.5, 20), st.floats(-20, 20))
def test_what_the_correlations_and_the_divergence_of_channels_do_not_see(seed, scale, offset):
    student, teacher = (x[0] for x in features(seed, (3, 2, 4, 5), count=1, dtype=torch.float64))
    factors, offsets = (torch.tensor([1.0, x], dtype=torch.float64)[:, None, None] for x in (scale, offset))
    moved = student * factors + offsets
    # What is added to the variance is more beside a small one.
    torch.testing.assert_close(
        normalised_distance(moved, teacher), normalised_distance(student, teacher), rtol=1e-3, atol=1e-4
    )
    torch.testing.assert_close(
        channel_wise_divergence(student + offsets, teacher), channel_wise_divergence(student, teacher)
    )
    rows, others = student.flatten(1), teacher.flatten(1)
    torch.testing.assert_close(pearson_distance(scale * rows + offset, others), pearson_distance(rows, others))


@given(st.integers(0, 10**6))
def test_the_normalised_distance_is_one_minus_pearsons_r(seed):
    student, teacher = (x[0] for x in features(seed, (3, 2, 4, 5), count=1, dtype=torch.float64))
    expected = pearson_distance(*(x.transpose(0, 1).flatten(1) for x in (student, teacher)))
    torch.testing.assert_close(normalised_distance(student, teacher), expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize('name', ['cwd', 'pkd', 'dist'])
@pytest.mark.parametrize('constant', [0.0, 1e4])
def test_what_does_not_vary_gives_a_finite_gradient(name, constant):
    """A channel that is dead or large everywhere; logits that say nothing, or one class alone."""
    config, _, shape = FORMULAS[name]
    student, teacher = (x[0] for x in features(0, shape, count=1))
    student[:, 0] = constant
    student.requires_grad_()
    evaluate(MODELS.build(config), [student], [teacher]).backward()
    assert student.grad.isfinite().all() and student.grad.abs().max() < 1e3


def test_a_batch_of_one_has_no_relation_within_classes():
    student, teacher = (x[0] for x in features(0, (1, 5), count=1))
    student.requires_grad_()
    loss = MODELS.build(dict(type='ClassRelationLoss', between=0.0, within=3.0))
    value = evaluate(loss, [student], [teacher])
    value.backward()
    assert value.item() == 3 and not student.grad.any()


@pytest.mark.parametrize('block', [1, 2, 5, 16])
def test_the_gradient_of_the_angles_is_that_of_the_whole_sum(block):
    student, teacher = (x[0].double().requires_grad_() for x in features(3, (5, 4)))

    def whole(x):
        sides = x[:, None] - x
        sides = sides / (sides.norm(dim=2, keepdim=True) + torch.eye(5)[..., None])
        return torch.einsum('ijc,kjc->ijk', sides, sides)

    torch.nn.functional.smooth_l1_loss(whole(student), whole(teacher.detach())).backward()
    expected, student.grad = student.grad, None
    angle_distance(student, teacher.detach(), block).backward()
    torch.testing.assert_close(student.grad, expected)


def test_the_same_face_twice_in_a_batch_gives_a_finite_gradient():
    student, teacher = (x[0] for x in features(0, (6, 5)))
    student[3] = student[0]
    student.requires_grad_()
    evaluate(MODELS.build(dict(type='HybridOrderRelationLoss')), [student], [teacher]).backward()
    assert student.grad.isfinite().all() and student.grad.abs().max() < 10


def order_shares(rank, likeness):
    """Of HORKD's three orders in the gradient, by its norm, on embeddings of a batch of 128 people.

    512 numbers of unit variance, as IRResNet's last batch norm puts them out, of which `rank` are independent;
    `likeness` is the correlation of student and teacher.
    """
    generator = torch.Generator().manual_seed(0)
    people, others = torch.randn(2, 128, rank, generator=generator)
    directions = torch.randn(rank, 512, generator=generator) / rank**0.5
    student = (likeness * people + (1 - likeness**2) ** 0.5 * others) @ directions
    norms = []
    for order, weight in enumerate(HybridOrderRelationLoss().orders):
        loss = HybridOrderRelationLoss(orders=[weight if i == order else 0.0 for i in range(3)])
        leaf = student.clone().requires_grad_()
        evaluate(loss, [leaf], [people @ directions]).backward()
        norms.append(leaf.grad.norm().item())
    return np.array(norms) / sum(norms)


@pytest.mark.parametrize('rank', [16, 64, 512])
@pytest.mark.parametrize('likeness', [0.0, 0.5, 0.9])
def test_each_order_of_horkd_has_a_share_of_the_gradient_worth_having(rank, likeness):
    assert order_shares(rank, likeness).min() > 0.1


def test_the_shares_that_horkd_states():
    for rank, shares in ((16, (17, 42, 41)), (512, (48, 26, 25))):
        assert 100 * order_shares(rank, 0.5) == pytest.approx(shares, abs=1)


def operators(distance, shape, taps):
    """How many a step of so many taps takes, forward and backward."""
    student, teacher = features(0, shape, taps)
    for x in student:
        x.requires_grad_()
    with torch.profiler.profile() as profiler:
        distance(student, teacher).backward()
    return sum(event.name.startswith('aten::') for event in profiler.events())


def operators_of_a_tap(distance, shape):
    if isinstance(distance, dict):
        distance = partial(evaluate, MODELS.build(distance))
    more, one = (operators(distance, shape, taps) for taps in (5, 1))
    return (more - one) / 4


@pytest.mark.parametrize('name', ['cwd', 'pkd'])
def test_a_level_takes_no_more_operators_than_the_cosine_of_its_features(name):
    ours, cosine = (operators_of_a_tap(FORMULAS[n][0], (2, 3, 4, 5)) for n in (name, 'f-skd'))
    assert 0 < ours <= cosine


def test_dist_takes_no_more_operators_than_its_formula():
    """As one would write it down with torch's softmax, mean and cosine."""

    def by_hand(student, teacher):
        total = 0
        for pair in zip(student, teacher):
            s, t = ((x / 1.0).softmax(1) for x in pair)
            for weight, rows in ((2.0, (s, t)), (2.0, (s.T, t.T))):
                centred = (x - x.mean(1, keepdim=True) for x in rows)
                total = total + weight * (1 - torch.nn.functional.cosine_similarity(*centred)).mean()
        return total

    ours, formula = (operators_of_a_tap(each, (6, 5)) for each in (FORMULAS['dist'][0], by_hand))
    assert 0 < ours <= formula


@pytest.mark.parametrize('name', ['HybridOrderRelationLoss', 'RelationLoss'])
def test_a_batch_of_256_takes_less_than_100_mb(name):
    """Beyond the inputs, forward and backward; in a process of its own, whose peak is this."""
    script = f"""
import resource, torch
from askd_mmdet.distillation import {name}
loss = {name}()
def step(n):
    s, t = torch.randn(n, 512, requires_grad=True), torch.randn(n, 512)
    loss(dict(embeddings=[s]), dict(embeddings=[t])).backward()
step(32)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
step(256)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""
    done = subprocess.run([sys.executable, '-c', script], cwd=ROOT, capture_output=True, text=True)
    assert float(done.stdout.split()[-1]) < 100, done.stderr
