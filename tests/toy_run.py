"""The toy experiments, shrunk until a run takes a second."""

import sys
from pathlib import Path

import torch
from mmengine.hooks import Hook
from mmengine.registry import RUNNERS

from askd_mmdet.training import build_model
from askd_mmdet.training.config import load_config
from askd_mmdet.training.launch import distillation_of as distillation

ROOT = Path(__file__).resolve().parents[1]
COMMAND = [sys.executable, '-m', 'askd_mmdet']
HR, BASE, ASKD = (f'tinaface_r50-bn-cbam_toy{suffix}' for suffix in ('', '-4x', '-4x_askd'))


def toy_options(data, **options):
    """Settings that put a toy config on a small data set, for `--cfg-options` or `merge_from_dict`."""
    loaders = {}
    for split in ('train', 'val', 'test'):
        loaders[f'{split}_dataloader.dataset.data_root'] = str(data)
        loaders[f'{split}_dataloader.num_workers'] = 0
        loaders[f'{split}_dataloader.batch_size'] = 2
    return {
        **loaders,
        'val_evaluator.ground_truth': f'{data}/eval_tools/ground_truth',
        'test_evaluator.ground_truth': f'{data}/eval_tools/ground_truth',
        'train_cfg.max_epochs': 2,
        'train_cfg.val_begin': 10,
        'log_level': 'WARNING',
        **options,
    }


def toy_config(name, data, work_dir, teacher=None, **options):
    """A toy config on a small data set; `teacher` is the checkpoint to distil from."""
    cfg = load_config(f'askd_mmdet::toy/{name}.py')
    cfg.merge_from_dict(toy_options(data, **options))
    cfg.train_dataloader.dataset.pipeline[-1].transforms[3].scale = (64, 64)
    cfg.work_dir = str(work_dir)
    if teacher:
        distillation(cfg).checkpoint = str(teacher)
    return cfg


class Losses(Hook):
    """Keeps what every training step logs, by name."""

    def __init__(self):
        self.steps = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.steps.append({name: value.item() for name, value in outputs.items()})


def train(cfg):
    """Train a config; returns its runner and the losses of every step."""
    runner, losses = RUNNERS.build(cfg), Losses()
    runner.register_hook(losses)
    runner.train()
    return runner, losses.steps


def random_network(cfg, path, seed=0):
    """Random weights that tell one place from another, with the statistics of a network that was trained."""
    torch.manual_seed(seed)
    model = build_model(cfg)
    for name, value in model.named_parameters():
        if value.ndim > 1:
            torch.nn.init.xavier_normal_(value, 0.5 if name.startswith('bbox_head') else 1)
    for norm in model.modules():
        if isinstance(norm, torch.nn.modules.batchnorm._BatchNorm):
            norm.running_mean.normal_(0, 0.1)
            norm.running_var.uniform_(0.5, 2)
    torch.save(dict(state_dict=model.state_dict()), path)


def types(value):
    """Every component's type in a config, in order."""
    if isinstance(value, dict):
        yield from ([value['type']] if 'type' in value else [])
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from types(item)
