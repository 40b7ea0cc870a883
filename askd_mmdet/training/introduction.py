"""What a run is, in a few lines for the screen; environment, config and hooks stay in the log file."""

from collections.abc import Iterator
from pathlib import Path

from mmengine.device import get_device
from mmengine.dist import get_world_size
from mmengine.runner import Runner

from askd_mmdet.training.config import type_name
from askd_mmdet.training.launch import distillation_of


def introduce(runner: Runner) -> str:
    """Network, data, schedule and teacher of a run, a line each."""
    return '\n  '.join(_lines(runner))


def _lines(runner: Runner) -> Iterator[str]:
    cfg = runner.cfg
    parameters = sum(parameter.numel() for parameter in runner.model.parameters()) / 1e6
    yield (
        f'{type(runner.model).__name__}, {parameters:.1f} million parameters, on {get_world_size()} x {get_device()}, '
        f'seed {runner.seed}'
    )
    for part in ('train', 'val', 'test'):
        if loader := cfg.get(f'{part}_dataloader'):
            dataset = loader.get('dataset', {})
            steps = [step for step in dataset.get('pipeline') or () if type_name(step) == 'LowResolution']
            degraded = ', '.join(
                f'{key} {step[key]}' for step in steps for key in ('ratio', 'size') if step.get(key) is not None
            )
            yield (
                f'{part + ":":6} {dataset.get("type")} in {dataset.get("data_root")}, batches of '
                f'{loader.get("batch_size")}{f", LR at {degraded}" if degraded not in ("", "ratio 1") else ""}'
            )
    if epochs := (cfg.get('train_cfg') or {}).get('max_epochs'):
        optimizer = (cfg.get('optim_wrapper') or {}).get('optimizer', {})
        yield f'{epochs} epochs of {optimizer.get("type")}, learning rate {optimizer.get("lr")}'
    if hook := distillation_of(cfg):
        losses = ', '.join(f'{type_name(loss)} x {loss.get("weight", "default")}' for loss in hook.losses.values())
        name = hook.teacher if isinstance(hook.teacher, (str, Path)) else type_name(hook.teacher.model)
        yield f'teacher {name} with {hook.checkpoint}: {losses}'
    yield f'log with all settings: {runner.logger.log_file}'
