"""AT compares where features are strong, not how strong, on the stages of any stock network."""

from importlib import import_module

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmengine.registry import MODELS
from torch import nn

from askd_mmdet.distillation.losses.attention_transfer import activation_map
from askd_mmdet.distillation.taps import Taps


def distance(kind, student, teacher):
    loss = MODELS.build(dict(type='AttentionTransferLoss', distance=kind, weight=1.0))
    return loss(dict(features=[student]), dict(features=[teacher])).item()


def test_the_distances_by_hand():
    # Energies (9, 16) and (16, 9) over two positions: maps of norm sqrt(337).
    student, teacher = (torch.tensor(x).reshape(1, 1, 1, 2) for x in ([3.0, -4.0], [4.0, 3.0]))
    assert distance('l2', student, teacher) == pytest.approx(7**2 / 337)  # (7^2 + 7^2) / 337 / 2 positions
    assert distance('cosine', student, teacher) == pytest.approx(1 - 288 / 337)


@pytest.mark.parametrize('kind', ['l2', 'cosine'])
@given(st.integers(0, 10**6), st.floats(0.01, 100))
def test_neither_scale_nor_sign_nor_order_of_the_channels_matters(kind, seed, scale):
    generator = torch.Generator().manual_seed(seed)
    student, teacher = torch.randn(2, 3, 4, 2, 2, generator=generator, dtype=torch.float64)
    found = distance(kind, student, teacher)
    assert 0 <= found <= 2
    assert distance(kind, -scale * student.flip(1), teacher) == pytest.approx(found, abs=1e-9)
    assert distance(kind, teacher, student) == pytest.approx(found, abs=1e-9)


def test_features_that_are_all_0_have_a_map_and_a_gradient():
    dead = torch.zeros(2, 3, 4, 4, requires_grad=True)
    activation_map(dead).sum().backward()
    assert torch.equal(activation_map(dead), torch.zeros(2, 16)) and dead.grad.isfinite().all()


@pytest.mark.parametrize('loss', ['AttentionTransferLoss', 'FeatureSimilarityLoss'])
@pytest.mark.parametrize(
    'library, package, backbone, settings, side',
    [
        ('mmdet', 'mmdet.models', 'ResNet', {}, [8, 4, 2, 1]),
        ('mmpretrain', 'mmpretrain.models', 'ResNet', dict(stem_channels=4), [8, 4, 2, 1]),
        ('mmpretrain', 'askd_mmdet.recognition', 'IRResNet', dict(input_size=32, embedding_dims=8), [16, 8, 4, 2]),
    ],
    ids=['mmdet', 'mmpretrain', 'IRResNet'],
)
def test_the_default_taps_are_the_four_stages(loss, library, package, backbone, settings, side):
    pytest.importorskip(library)
    network = getattr(import_module(package), backbone)(18, base_channels=4, **settings)
    model = nn.ModuleDict(dict(backbone=network))
    taps = Taps(model, MODELS.build(dict(type=loss)).taps, 'student')
    taps.start()
    model.backbone(torch.randn(2, 3, 32, 32))
    assert [x.shape[-1] for x in taps.stop()['features']] == side
