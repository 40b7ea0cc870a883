"""The core distils a model that is no OpenMMLab library's, with MMEngine and mmcv alone, of OneDL or upstream."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from mmcv.transforms import BaseTransform
from mmengine.dataset import BaseDataset
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.registry import TRANSFORMS
from torch import nn
from torch.nn import functional as F

import askd_mmdet.core  # noqa: F401, which registers what the settings name
from askd_mmdet.attention import CBAM
from askd_mmdet.degradation import low_resolution
from askd_mmdet.distillation import DistillationHook
from askd_mmdet.training import SafeRunner, read_checkpoint


class Pictures(BaseDataset):
    """Eight pictures of noise, each of one of two classes."""

    def load_data_list(self):
        noise = np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3), np.uint8)
        return [dict(img=picture, label=i % 2) for i, picture in enumerate(noise)]


@TRANSFORMS.register_module()
class FlipSides(BaseTransform):
    """A random transform."""

    def transform(self, results):
        if np.random.rand() < 0.5:
            results['img'] = np.ascontiguousarray(results['img'][:, ::-1])
        return results


@TRANSFORMS.register_module()
class PackPicture(BaseTransform):
    def transform(self, results):
        return dict(inputs=torch.from_numpy(results['img']).permute(2, 0, 1).float(), label=results['label'])


class Network(BaseModel):
    """A convolution, CBAM and a classifier; keeps the inputs of its last call."""

    def __init__(self):
        super().__init__()
        self.stem, self.cbam, self.head = nn.Conv2d(3, 8, 3), CBAM(8, reduction=2), nn.Linear(8, 2)

    def forward(self, inputs, label=None, mode='tensor'):
        self.seen = torch.stack(inputs) if isinstance(inputs, list) else inputs
        logits = self.head(self.cbam(self.stem(self.seen / 255)).mean((2, 3)))
        return dict(loss_class=F.cross_entropy(logits, torch.as_tensor(label))) if mode == 'loss' else logits


def runner(work_dir, ratio, epochs, hooks=(), **settings):
    transforms = [dict(type='FlipSides'), dict(type='PackPicture')]
    degrade = dict(type='LowResolution', ratio=ratio, keep_hr=bool(hooks), transforms=transforms)
    return SafeRunner(
        model=dict(type=Network),
        work_dir=str(work_dir),
        train_dataloader=dict(
            batch_size=4,
            num_workers=0,
            dataset=dict(type=Pictures, pipeline=[degrade]),
            sampler=dict(type='DefaultSampler', shuffle=True),
            worker_init_fn=dict(type='seed_worker'),
        ),
        train_cfg=dict(by_epoch=True, max_epochs=epochs),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1, momentum=0.9)),
        default_hooks=dict(checkpoint=dict(type='CrashSafeCheckpointHook', interval=1)),
        custom_hooks=[dict(type='EpochSeedHook'), dict(type='FiniteLossHook'), *hooks],
        randomness=dict(seed=0),
        default_scope='mmengine',
        experiment_name=f'{work_dir.name}-{epochs}',
        log_level='WARNING',
        **settings,
    )


@pytest.fixture(scope='module')
def teacher(tmp_path_factory):
    work_dir = tmp_path_factory.mktemp('teacher')
    runner(work_dir, 1, 1).train()
    return work_dir / 'epoch_1.pth'


def distil(teacher, weight):
    losses = dict(loss_attention=dict(type='AttentionSimilarityLoss', weight=weight))
    config = dict(model=dict(type=Network))
    return [dict(type='DistillationHook', teacher=config, checkpoint=str(teacher), losses=losses)]


def weights(work_dir, epoch):
    return read_checkpoint(work_dir / f'epoch_{epoch}.pth')['state_dict']


def equal(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_a_student_sees_lr_its_teacher_hr_and_an_interrupted_run_resumes_bit_for_bit(teacher, tmp_path):
    student = runner(tmp_path / 'whole', 4, 2, distil(teacher, 5.0))
    student.train()
    hr = next(hook for hook in student.hooks if isinstance(hook, DistillationHook)).hr_inputs
    for low, high in zip(student.model.seen, hr):
        degraded = low_resolution(high.permute(1, 2, 0).byte().numpy(), 4)
        assert np.array_equal(low.permute(1, 2, 0).numpy(), degraded)

    runner(tmp_path / 'halves', 4, 1, distil(teacher, 5.0)).train()
    runner(tmp_path / 'halves', 4, 2, distil(teacher, 5.0), resume=True).train()
    assert equal(weights(tmp_path / 'halves', 2), weights(tmp_path / 'whole', 2))

    # The loss pulls, and its weight is all that does.
    runner(tmp_path / 'base', 4, 2).train()
    runner(tmp_path / 'weight 0', 4, 2, distil(teacher, 0.0)).train()
    assert equal(weights(tmp_path / 'weight 0', 2), weights(tmp_path / 'base', 2))
    assert not equal(weights(tmp_path / 'whole', 2), weights(tmp_path / 'base', 2))


class Seen(Hook):
    """Keeps the inputs of every batch, and takes HR images as a DistillationHook does."""

    takes_hr_images = True

    def __init__(self):
        self.batches = []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.batches.append((data_batch['inputs'], data_batch.pop('hr_inputs')))


@pytest.mark.parametrize('train_cfg', [dict(by_epoch=True, max_epochs=1), dict(by_epoch=False, max_iters=2)])
def test_the_hook_degrades_where_workers_load_in_loops_of_both_kinds(tmp_path, train_cfg):
    """By iterations, MMEngine 0.10.7 starts the workers with their copy of the data before any hook is called."""
    hooks = [dict(type='LowResolutionHook', ratio=4), seen := Seen()]
    loader = dict(
        batch_size=4,
        num_workers=1,
        dataset=dict(type=Pictures, pipeline=[dict(type='FlipSides'), dict(type='PackPicture')]),
        sampler=dict(type='DefaultSampler', shuffle=True),
    )
    SafeRunner(
        model=dict(type=Network),
        work_dir=str(tmp_path),
        train_dataloader=loader,
        train_cfg=train_cfg,
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
        custom_hooks=hooks,
        default_scope='mmengine',
        experiment_name=f'{tmp_path.name}',
        log_level='WARNING',
    ).train()
    pairs = [pair for lr, hr in seen.batches for pair in zip(lr, hr, strict=True)]
    assert len(pairs) == 8
    for low, high in pairs:
        # The picture is degraded before it is mirrored; so would be its mirror image, up to rounding.
        degraded = low_resolution(high.permute(1, 2, 0).byte().numpy(), 4).astype(float)
        assert abs(low.permute(1, 2, 0).numpy() - degraded).max() <= 1


def test_the_core_imports_no_task_library(root):
    code = 'import sys, askd_mmdet.core; print({"mmdet", "mmpretrain", "mmcv.ops"} & set(sys.modules))'
    done = subprocess.run([sys.executable, '-c', code], cwd=root, capture_output=True, text=True)
    assert done.stdout == 'set()\n', done.stderr
