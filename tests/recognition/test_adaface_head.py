"""AdaFace's logit against its formula in numpy, and what must hold of its margin."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmpretrain.structures import DataSample
from scipy.special import log_softmax

from askd_mmdet.recognition import AdaFaceHead


def samples(labels):
    return [DataSample().set_gt_label(label) for label in labels]


def head_with(weights, **settings):
    head = AdaFaceHead(len(weights), weights.shape[1], **settings)
    head.norm_product.weight.data = torch.from_numpy(weights).float()
    return head


@given(st.integers(0, 2**32 - 1), st.sampled_from([(64.0, 0.4, 0.333), (32.0, 0.5, 1.0)]))
def test_the_loss_is_the_papers(seed, setting):
    rng = np.random.default_rng(seed)
    scale, margin, concentration = setting
    weights, labels = rng.normal(size=(7, 5)), rng.integers(0, 7, 6)
    embeddings = (weights[labels] + 0.3 * rng.normal(size=(6, 5))) * rng.uniform(1, 30, (6, 1))
    head = head_with(weights, scale=scale, margins=margin, concentration=concentration)
    head.length_mean.fill_(15.0), head.length_std.fill_(8.0)
    loss = head.loss((torch.from_numpy(embeddings).float(),), samples(labels.tolist()))['loss_adaface'].item()

    lengths = np.linalg.norm(embeddings, axis=1)
    norms = lengths.clip(1e-3, 100)
    mean, std = (0.99 * old + 0.01 * new for old, new in ((15, norms.mean()), (8, norms.std(ddof=1))))
    quality = np.clip((norms - mean) / (std + 1e-3) * concentration, -1, 1)
    cosines = (embeddings / lengths[:, None]) @ (weights / np.linalg.norm(weights, axis=1, keepdims=True)).T
    rows = np.arange(6)
    angles = np.clip(np.arccos(cosines[rows, labels]) - margin * quality, 1e-3, np.pi - 1e-3)
    cosines[rows, labels] = np.cos(angles) - (margin * quality + margin)
    assert loss == pytest.approx(-log_softmax(scale * cosines, 1)[rows, labels].mean(), rel=1e-3, abs=1e-3)


@pytest.mark.parametrize('quality, angular, additive', [(-1, 0.4, 0.0), (0, 0.0, 0.4), (1, -0.4, 0.8)])
def test_the_margin_goes_from_arcfaces_to_an_additive_one(quality, angular, additive):
    head = head_with(np.eye(2), concentration=1.0).eval()
    head.length_mean.fill_(10.0), head.length_std.fill_(2.0 - 1e-3)
    theta = 1.0
    embedding = (10.0 + 2.0 * quality) * torch.tensor([[np.cos(theta), np.sin(theta)]], dtype=torch.float32)
    logits = head((embedding,), torch.tensor([0]))
    assert logits[0, 0].item() == pytest.approx(64 * (np.cos(theta + angular) - additive), rel=1e-4)
    assert logits[0, 1].item() == pytest.approx(64 * np.sin(theta), rel=1e-5)


def test_the_statistics_follow_the_lengths_in_training_alone():
    head = AdaFaceHead(3, 4)
    embeddings = torch.nn.functional.normalize(torch.randn(64, 4)) * torch.linspace(5, 15, 64)[:, None]
    for _ in range(1000):
        head((embeddings,), torch.zeros(64, dtype=torch.long))
    assert head.length_mean.item() == pytest.approx(10, abs=0.1)
    assert head.length_std.item() == pytest.approx(torch.linspace(5, 15, 64).std().item(), abs=0.1)
    before = head.length_mean.item()
    head.eval()((2 * embeddings,), torch.zeros(64, dtype=torch.long))
    assert head.length_mean.item() == before
    assert {'length_mean', 'length_std'} < set(head.state_dict())


def test_no_gradient_goes_through_the_length():
    """Embeddings along their class weight: a longer one would have another margin, so only turning could help."""
    head = AdaFaceHead(3, 4)
    embeddings = (torch.randn(8, 4) * 5).requires_grad_()
    head.loss((embeddings,), samples([0, 1, 2, 0, 1, 2, 0, 1]))['loss_adaface'].backward()
    along = (embeddings.grad * embeddings.detach()).sum(1)
    assert embeddings.grad.norm() > 0
    assert along.abs().max() < 1e-4 * embeddings.grad.norm() * embeddings.detach().norm()


def test_wrong_settings_are_named():
    with pytest.raises(ValueError, match='AdaFaceHead: found concentration=0'):
        AdaFaceHead(3, 4, concentration=0)
    with pytest.raises(ValueError, match='AdaFaceHead: found scale=0'):
        AdaFaceHead(3, 4, scale=0)
    with pytest.raises(ValueError, match='AdaFaceHead: found easy_margin=True'):
        AdaFaceHead(3, 4, easy_margin=True)
