"""A small regression under SafeRunner; as a script, one that can be killed: small_run.py WORK_DIR JSON."""

import json
import os
import signal
import sys

import torch
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from torch import nn

from askd_mmdet.training import SafeRunner


class Numbers(torch.utils.data.Dataset):
    """Inputs with noise from torch's generator, as an augmentation would draw it."""

    def __len__(self):
        return 6

    def __getitem__(self, index):
        return dict(inputs=torch.full((4,), index / 6) + torch.randn(4))


class Regression(BaseModel):
    """A small real model with dropout, so that the main process draws random numbers too."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5), nn.Linear(4, 1))

    def forward(self, inputs, mode='tensor'):
        out = self.net(torch.stack(inputs) if isinstance(inputs, list) else inputs)
        return dict(loss=(out - 1).square().mean()) if mode == 'loss' else list(out)


class Scores(BaseMetric):
    """Says what it is told, one score for each validation."""

    def __init__(self, scores):
        super().__init__()
        self.scores = iter(scores)

    def process(self, data_batch, data_samples):
        self.results += [0] * len(data_samples)

    def compute_metrics(self, results):
        return dict(score=next(self.scores))


class Kill(Hook):
    """Kills the process, as the machine would: in the midst of an epoch, or with half a checkpoint on the disk."""

    def __init__(self, iteration=None, saving_epoch=None):
        self.iteration = iteration
        self.saving_epoch = saving_epoch

    def after_train_iter(self, runner, **kwargs):
        if runner.iter == self.iteration:
            os.kill(os.getpid(), signal.SIGKILL)

    def before_save_checkpoint(self, runner, checkpoint):
        if runner.epoch + 1 == self.saving_epoch:
            with open(os.path.join(runner.work_dir, f'epoch_{self.saving_epoch}.pth.part'), 'wb') as part:
                part.write(b'half a checkpoint')
            os.kill(os.getpid(), signal.SIGKILL)


def make_runner(
    work_dir, epochs=2, checkpoint=None, scores=None, hooks=(), workers=0, batch=2, optimizer=None, **settings
):
    """A SafeRunner with a seed, which trains the small regression for some epochs of three iterations."""
    loader = dict(
        batch_size=batch,
        num_workers=workers,
        drop_last=True,
        dataset=Numbers(),
        sampler=dict(type='DefaultSampler', shuffle=True),
        worker_init_fn=dict(type='seed_worker'),
    )
    if scores is not None:
        evaluator = dict(type=Scores, scores=scores)
        settings.update(val_cfg=dict(type='ValLoop'), val_dataloader=loader, val_evaluator=evaluator)
    return SafeRunner(
        model=dict(type=Regression),
        work_dir=str(work_dir),
        train_cfg=dict(by_epoch=True, max_epochs=epochs, val_interval=1),
        train_dataloader=loader,
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.01, momentum=0.9) | (optimizer or {})),
        default_hooks=dict(checkpoint=checkpoint or dict(type='CrashSafeCheckpointHook', interval=1)),
        custom_hooks=list(hooks),
        randomness=dict(seed=3),
        experiment_name=f'small-{os.urandom(8).hex()}',
        default_scope='mmengine',
        log_level='WARNING',
        **settings,
    )


if __name__ == '__main__':
    work_dir, settings = sys.argv[1], json.loads(sys.argv[2])
    kill = settings.pop('kill')
    make_runner(work_dir, hooks=[dict(type='EpochSeedHook'), Kill(**kill)], **settings).train()
