"""KD on the cosines of a real ArcFace recognizer, alone and together with A-SKD, through the hook."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmengine.hooks import Hook
from mmengine.registry import MODELS, DefaultScope
from mmengine.runner import Runner
from mmpretrain.structures import DataSample
from scipy.special import rel_entr, softmax
from scipy.stats import binom
from torch.nn.utils import parameters_to_vector

from askd_mmdet.distillation import DistillationHook
from askd_mmdet.distillation.losses.logit import logit_divergence, near_chance
from askd_mmdet.recognition.arcface_head import ArcFaceHead
from askd_mmdet.recognition.ir_resnet import IRResNet
from askd_mmdet.recognition.recognizer import FaceRecognizer

MODEL = dict(
    type=FaceRecognizer,
    data_preprocessor=dict(type='ClsDataPreprocessor', mean=[127.5] * 3, std=[127.5] * 3),
    backbone=dict(type=IRResNet, depth=18, base_channels=4, input_size=32, embedding_dims=8, dropout=0.0),
    head=dict(type=ArcFaceHead, num_classes=5, in_channels=8),
)
LOSSES = dict(
    loss_attention=dict(type='AttentionSimilarityLoss', weight=5.0),
    loss_logit=dict(type='LogitLoss', tap='head.norm_product', scale=32.0, weight=2.0),
    loss_feature=dict(type='FeatureLoss'),
    loss_transfer=dict(type='AttentionTransferLoss'),
    loss_similarity=dict(type='FeatureSimilarityLoss'),
    loss_relation=dict(type='HybridOrderRelationLoss'),
)


def build(seed):
    torch.manual_seed(seed)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(MODEL)
    model.init_weights()
    return model


@pytest.fixture(scope='module')
def pairs():
    """Six HR pictures with their LR ones, as a pipeline packs them."""
    generator = torch.Generator().manual_seed(0)
    hr = torch.randint(0, 256, (6, 3, 32, 32), dtype=torch.uint8, generator=generator)
    lr = hr[..., ::4, ::4].repeat_interleave(4, -1).repeat_interleave(4, -2)
    samples = [DataSample().set_gt_label(i % 5) for i in range(6)]
    return [dict(inputs=x, hr_inputs=y, data_samples=z) for x, y, z in zip(lr, hr, samples)]


@pytest.fixture(scope='module')
def teacher(tmp_path_factory):
    path = tmp_path_factory.mktemp('teacher') / 'teacher.pth'
    torch.save(build(1).state_dict(), path)
    return path


class Values(Hook):
    """Keeps what a step logged."""

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.logged = {name: value.item() for name, value in outputs.items()}


def first_step(pairs, teacher, work_dir, losses):
    """What the first step of a student with these losses logs, and by how much it moves the weights, as one vector."""
    values = Values()
    hook = DistillationHook(dict(default_scope='mmpretrain', model=MODEL), str(teacher), losses)
    student = build(0)
    before = parameters_to_vector(student.parameters()).detach().double()
    Runner(
        model=student,
        work_dir=str(work_dir),
        train_dataloader=torch.utils.data.DataLoader(pairs, batch_size=len(pairs), collate_fn=collate),
        train_cfg=dict(by_epoch=True, max_epochs=1),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=1.0)),
        custom_hooks=[hook, values],
        default_scope='mmpretrain',
        experiment_name=f'{work_dir.name}_{len(list(work_dir.iterdir()))}',
        log_level='ERROR',
    ).train()
    after = parameters_to_vector(student.parameters()).detach().double()
    return values.logged, after - before


def collate(batch):
    return {key: [sample[key] for sample in batch] for key in batch[0]}


def test_kd_compares_what_both_recognizers_classify_by(pairs, teacher, tmp_path):
    found, _ = first_step(pairs, teacher, tmp_path, dict(loss_logit=LOSSES['loss_logit']))
    student, hr_network = build(0).train(), build(1).eval()
    batch = collate(pairs)
    # Without labels ArcFace's head puts out its logits s * cos(theta), free of the margin.
    with torch.no_grad():
        s = student(student.data_preprocessor(dict(inputs=batch['inputs']))['inputs'], mode='tensor')
        t = hr_network(student.data_preprocessor(dict(inputs=batch['hr_inputs']))['inputs'], mode='tensor')
    s, t = (softmax(x.double().numpy() / 4, axis=1) for x in (s, t))
    assert found['loss_logit'] == pytest.approx(2 * 4**2 * rel_entr(t, s).sum(1).mean(), rel=1e-4)


@pytest.mark.parametrize('names', [('loss_attention', 'loss_logit'), tuple(LOSSES)], ids=['A-SKD+KD', 'all methods'])
def test_losses_together_are_each_what_they_are_alone_and_add_up(pairs, teacher, tmp_path, names):
    together, joint_step = first_step(pairs, teacher, tmp_path, {name: LOSSES[name] for name in names})
    alone = {name: first_step(pairs, teacher, tmp_path, {name: LOSSES[name]}) for name in names}
    _, plain = first_step(pairs, teacher, tmp_path, dict(loss_logit={**LOSSES['loss_logit'], 'weight': 0.0}))
    for name in names:
        assert together[name] > 0
        assert together[name] == pytest.approx(alone[name][0][name], rel=1e-5)
    # With a rate of 1 a step is the gradient, and the gradient of a sum the sum of the gradients.
    gradients = [alone[name][1] - plain for name in names]
    least = min(gradient.norm() for gradient in gradients)
    assert (joint_step - plain - sum(gradients)).norm() < 0.01 * least


CLASSES = 20


@pytest.fixture(scope='module')
def class_pairs():
    """256 pictures, each one of 20 patterns in noise; the LR ones are the same."""
    generator = torch.Generator().manual_seed(0)
    patterns = torch.randint(40, 216, (CLASSES, 3, 32, 32), generator=generator)
    pictures = [patterns[i % CLASSES] + torch.randint(-9, 9, (3, 32, 32), generator=generator) for i in range(256)]
    samples = [DataSample().set_gt_label(i % CLASSES) for i in range(256)]
    return [dict(inputs=x, hr_inputs=x, data_samples=z) for x, z in zip(pictures, samples)]


def warnings(class_pairs, work_dir, order=slice(None)):
    """What four steps of 128 pictures log about a teacher whose head has the classes in an order."""
    model = dict(MODEL, head=dict(type=ArcFaceHead, num_classes=CLASSES, in_channels=8))
    torch.manual_seed(1)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        teacher, student = MODELS.build(model).eval(), MODELS.build(model)
    batch = collate(class_pairs)
    labels = torch.cat([sample.gt_label for sample in batch['data_samples']])
    with torch.no_grad():
        (embeddings,) = teacher.extract_feat(teacher.data_preprocessor(dict(inputs=batch['inputs']))['inputs'])
        # A class is told by the direction of its mean.
        means = torch.stack([embeddings[labels == i].mean(0) for i in range(CLASSES)])
        teacher.head.norm_product.weight.copy_(means)
        accuracy = (teacher.head.norm_product(embeddings).argmax(1) == labels).float().mean()
        assert accuracy > 0.9
        teacher.head.norm_product.weight.copy_(means[order])
    torch.save(teacher.state_dict(), work_dir / 'teacher.pth')
    loss = LOSSES['loss_logit']
    hook = DistillationHook(
        dict(default_scope='mmpretrain', model=model), str(work_dir / 'teacher.pth'), dict(loss_logit=loss)
    )
    Runner(
        model=student,
        work_dir=str(work_dir),
        train_dataloader=torch.utils.data.DataLoader(class_pairs, batch_size=128, collate_fn=collate),
        train_cfg=dict(by_epoch=True, max_epochs=2),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=1e-3)),
        custom_hooks=[hook],
        default_scope='mmpretrain',
        experiment_name=work_dir.name,
        log_level='WARNING',
    ).train()
    (log,) = work_dir.rglob('*.log')
    return [line for line in log.read_text().splitlines() if 'WARNING' in line and 'LogitLoss' in line]


def test_a_teacher_whose_classes_are_in_another_order_is_warned_of_once(class_pairs, tmp_path):
    (warning,) = warnings(class_pairs, tmp_path, torch.arange(CLASSES).roll(1))
    assert 'the teacher is right about 0 of the first 256 training pictures' in warning
    assert 'near chance for 20 classes' in warning


def test_a_teacher_that_knows_the_classes_is_not_warned_of(class_pairs, tmp_path):
    assert not warnings(class_pairs, tmp_path)


def test_after_the_first_pictures_nobody_looks_and_what_has_no_label_is_never_judged():
    loss = MODELS.build(LOSSES['loss_logit'])
    samples = [DataSample().set_gt_label(0) for _ in range(300)]
    loss.watch(dict(logits=[torch.eye(300)]), samples)
    assert (loss.hits, loss.pictures) == (1, 300)
    loss.watch(dict(logits=None), None)
    for logits, samples in (
        (torch.eye(3), None),
        (torch.eye(3), [DataSample()] * 3),
        (torch.eye(3), [DataSample().set_gt_label([0, 1])] * 3),
        (torch.zeros(3, 5, 2, 2), [DataSample().set_gt_label(0)] * 3),
    ):
        loss = MODELS.build(LOSSES['loss_logit'])
        loss.watch(dict(logits=[logits]), samples)
        assert loss.hits == 0
        loss.watch(dict(logits=None), None)


@pytest.mark.parametrize('classes', [2, 3, 10, 1000, 10572])
def test_near_chance_is_a_binomial_test(classes):
    rate = min(3 / classes, 0.5)
    for pictures in (256, 300, 5000):
        expected = [binom.sf(hits - 1, pictures, rate) > 1e-3 for hits in range(pictures + 1)]
        assert [near_chance(hits, pictures, classes) for hits in range(pictures + 1)] == expected


@pytest.mark.parametrize('classes', [8, 20, 10572])
def test_shuffled_classes_are_near_chance_and_their_right_order_is_not(classes):
    draw = np.random.default_rng(0)
    labels = draw.integers(classes, size=256)
    shuffled = [near_chance(int((draw.permutation(classes)[labels] == labels).sum()), 256, classes) for _ in range(200)]
    assert np.mean(shuffled) > 0.95
    assert not near_chance(205, 256, classes)  # 80 %


@given(st.integers(0, 10**6), st.floats(-50, 50), st.floats(0.5, 20))
def test_a_divergence_of_probabilities(seed, shift, temperature):
    student, teacher = torch.from_numpy(np.random.default_rng(seed).normal(size=(2, 4, 3)) * 5)
    found = logit_divergence(student, teacher, temperature).item()
    assert found >= 0
    assert logit_divergence(student + shift, teacher - shift, temperature).item() == pytest.approx(found, abs=1e-6)
    assert logit_divergence(teacher + shift, teacher, temperature).item() == pytest.approx(0, abs=1e-6)


def test_a_high_temperature_compares_logits():
    """Hinton et al.'s limit: half the mean over the classes of the squared difference of centred logits."""
    student, teacher = torch.randn(2, 4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    s, t = (x - x.mean(1, keepdim=True) for x in (student, teacher))
    limit = ((s - t) ** 2).mean(1).mean().item() / 2
    assert logit_divergence(student, teacher, 1e4).item() == pytest.approx(limit, rel=1e-3)
