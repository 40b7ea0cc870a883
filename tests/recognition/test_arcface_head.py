"""Eq. 2, and what rounding and half precision must not do to it."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmengine.registry import MODELS, DefaultScope
from mmpretrain.structures import DataSample
from scipy.special import log_softmax
from scipy.stats import kstest, uniform

from askd_mmdet.recognition.arcface_head import ArcFaceHead


def samples(labels):
    return [DataSample().set_gt_label(label) for label in labels]


def equation_2(embeddings, weights, labels, scale, margin):
    """Mean over the samples of -log softmax(s cos(theta + m at the label))."""
    x = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    w = weights / np.linalg.norm(weights, axis=1, keepdims=True)
    theta = np.arccos(x @ w.T)
    rows = np.arange(len(labels))
    assert (theta[rows, labels] + margin < np.pi).all()  # beyond it the authors fall back to another formula
    theta[rows, labels] += margin
    return -log_softmax(scale * np.cos(theta), axis=1)[rows, labels].mean()


@given(st.integers(0, 2**32 - 1), st.sampled_from([(32.0, 0.5), (64.0, 0.3)]))
def test_the_loss_is_equation_2(seed, setting):
    rng = np.random.default_rng(seed)
    scale, margin = setting
    weights = rng.normal(size=(7, 5))
    labels = rng.integers(0, 7, 4)
    embeddings = weights[labels] + rng.normal(size=(4, 5)) * 0.3
    head = ArcFaceHead(7, 5, scale=scale, margins=margin)
    head.norm_product.weight.data = torch.from_numpy(weights).float()
    loss = head.loss((torch.from_numpy(embeddings).float(),), samples(labels.tolist()))['loss_arcface']
    assert loss.item() == pytest.approx(equation_2(embeddings, weights, labels, scale, margin), rel=1e-4, abs=1e-4)


def test_beyond_the_threshold_the_logit_falls_back_to_a_line():
    """cos(theta) - m sin(pi - m) where theta + m passes pi, as in the authors' code."""
    head = ArcFaceHead(2, 2)
    head.norm_product.weight.data = torch.eye(2)
    embedding = torch.tensor([[-1.0, 0.1]])
    logits = head((embedding,), torch.tensor([0]))
    cosine = -1 / np.sqrt(1.01)
    assert logits[0, 0].item() == pytest.approx(32 * (cosine - 0.5 * np.sin(np.pi - 0.5)), rel=1e-5)
    assert logits[0, 1].item() == pytest.approx(32 * 0.1 / np.sqrt(1.01), rel=1e-5)


def test_without_a_label_the_head_gives_the_margin_free_logits():
    head = ArcFaceHead(3, 4)
    embeddings = torch.randn(5, 4)
    expected = 32 * torch.cosine_similarity(embeddings[:, None], head.norm_product.weight[None], dim=2)
    torch.testing.assert_close(head((embeddings,)), expected)
    assert set(head.state_dict()) == {'norm_product.weight'}


def test_embeddings_on_a_class_weight_give_finite_gradients():
    """Rounding puts some of these cosines above 1, where acos is NaN."""
    torch.manual_seed(0)
    head = ArcFaceHead(200, 512)
    embeddings = head.norm_product.weight.detach().clone().requires_grad_()
    cosines = torch.nn.functional.linear(*(torch.nn.functional.normalize(x) for x in 2 * [embeddings.detach()]))
    assert cosines.diagonal().max() >= 1
    loss = head.loss((embeddings,), samples(range(200)))['loss_arcface']
    loss.backward()
    assert loss.isfinite() and embeddings.grad.isfinite().all() and head.norm_product.weight.grad.isfinite().all()


def test_the_class_weights_start_as_the_authors():
    """Uniform within sqrt(6 / (classes + 512)), so that a row is about 0.30 long among CASIA's 10,572."""
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(
            dict(
                type='FaceRecognizer',
                backbone=dict(
                    type='IRResNet', depth=18, base_channels=1, input_size=16, cbam=dict(type='CBAM', reduction=1)
                ),
                head=dict(type='ArcFaceHead', num_classes=10572, in_channels=512),
            )
        )
    model.init_weights()  # as the Runner does
    weight = model.head.norm_product.weight.detach()
    bound = np.sqrt(6 / (10572 + 512))
    assert weight.shape == (10572, 512) and weight.dtype == torch.float32
    assert 0.9999 * bound < weight.abs().max().item() <= bound * (1 + 1e-6)
    assert kstest(weight.flatten()[:100_000].numpy(), uniform(-bound, 2 * bound).cdf).pvalue > 0.01
    assert weight.norm(dim=1).mean().item() == pytest.approx(0.304, abs=0.002)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_embeddings_are_computed_in_float32(dtype):
    torch.manual_seed(0)
    head = ArcFaceHead(10, 16)
    embeddings = torch.randn(4, 16).to(dtype)
    with torch.autocast('cpu', torch.bfloat16):
        loss = head.loss((embeddings,), samples([0, 1, 2, 3]))['loss_arcface']
    exact = head.loss((embeddings.float(),), samples([0, 1, 2, 3]))['loss_arcface']
    assert loss.dtype == torch.float32 and torch.equal(loss, exact)


@pytest.mark.parametrize('label', [3, -100])
def test_a_label_that_is_no_class_is_named(label):
    head = ArcFaceHead(3, 4)
    with pytest.raises(ValueError, match=rf'found the label {label}, expected 0 to 2: set model.head.num_classes'):
        head.loss((torch.randn(2, 4),), samples([0, label]))
