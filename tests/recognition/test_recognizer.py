"""The recognizer predicts the embeddings of a picture and of its mirror image."""

import torch
from mmengine.registry import MODELS, DefaultScope
from mmpretrain.structures import DataSample

MODEL = dict(
    type='FaceRecognizer',
    data_preprocessor=dict(type='ClsDataPreprocessor', mean=[127.5] * 3, std=[127.5] * 3),
    backbone=dict(type='IRResNet', depth=18, base_channels=4, input_size=32, embedding_dims=8),
    head=dict(type='ArcFaceHead', num_classes=5, in_channels=8),
)


def build(**settings):
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build({**MODEL, **settings})
    model.init_weights()
    return model


def test_an_embedding_holds_the_features_of_the_picture_and_of_its_mirror_image():
    model = build().eval()
    pictures = torch.randint(0, 256, (3, 3, 32, 32), dtype=torch.uint8)
    samples = [DataSample().set_gt_label(i) for i in range(3)]
    predicted = model.test_step(dict(inputs=list(pictures), data_samples=samples))
    normalised = (pictures.float() / 255 - 0.5) / 0.5  # the authors' way to write it
    with torch.no_grad():
        straight, mirrored = model.backbone(normalised)[0], model.backbone(normalised.flip(3))[0]
    for i, sample in enumerate(predicted):
        assert sample.embedding.dtype == torch.float32
        torch.testing.assert_close(sample.embedding, torch.cat([straight[i], mirrored[i]]), rtol=1e-4, atol=1e-5)
        assert sample.gt_label == i


def test_it_needs_neither_samples_nor_a_head_to_embed():
    model = build(head=None).eval()
    with torch.no_grad():
        (sample,) = model(torch.randn(1, 3, 32, 32), mode='predict')
    assert sample.embedding.shape == (16,)


def test_it_trains_as_a_classifier():
    model = build()
    data = dict(
        inputs=list(torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8)),
        data_samples=[DataSample().set_gt_label(i) for i in range(4)],
    )
    losses = model(**model.data_preprocessor(data, True), mode='loss')
    assert set(losses) == {'loss_arcface'}
    losses['loss_arcface'].backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())
