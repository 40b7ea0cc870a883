"""The stages of a small study, each done once: train, evaluate, tabulate."""

import json
import logging
import time
from datetime import timedelta
from pathlib import Path

import numpy as np
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from askd_mmdet.training.files import replace_text


class ProgressHook(Hook):
    """One line an epoch, with the time that this training still takes."""

    def before_train(self, runner: Runner) -> None:
        self.start, self.first = time.time(), runner.epoch

    def before_train_epoch(self, runner: Runner) -> None:
        self.losses = []

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch=None, outputs: dict | None = None) -> None:
        self.losses.append(outputs['loss'].item())

    def after_train_epoch(self, runner: Runner) -> None:
        done, left = runner.epoch + 1 - self.first, runner.max_epochs - runner.epoch - 1
        eta = timedelta(seconds=round((time.time() - self.start) / done * left))
        print(
            f'   epoch {runner.epoch + 1:3}/{runner.max_epochs}  loss {np.mean(self.losses):.3f}  ETA {eta}', flush=True
        )

    def after_test_iter(self, runner: Runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        if batch_idx + 1 == len(runner.test_dataloader):
            print(f'   {len(runner.test_dataloader.dataset)} pictures', flush=True)


def quiet_runner(cfg: Config) -> Runner:
    """A Runner that logs to a file in its work directory, and on the screen only the lines of :class:`ProgressHook`."""
    cfg.log_level = 'WARNING'
    runner = RUNNERS.build(cfg)
    runner.logger.setLevel(logging.INFO)
    for handler in runner.logger.handlers:
        handler.setLevel(logging.INFO if isinstance(handler, logging.FileHandler) else logging.ERROR)
    runner.register_hook(ProgressHook())
    return runner


def last_checkpoint(cfg: Config) -> Path:
    """Where a training leaves its weights."""
    return Path(cfg.work_dir, f'epoch_{cfg.train_cfg.max_epochs}.pth')


def train_once(cfg: Config) -> None:
    """Train to the end, from the last epoch that is done."""
    if not last_checkpoint(cfg).is_file():
        cfg.resume = True
        quiet_runner(cfg).train()


def evaluate_once(cfg: Config, checkpoint: Path) -> dict[str, float]:
    """The metrics of a checkpoint, which `metrics.json` in the work directory keeps."""
    result = Path(cfg.work_dir, 'metrics.json')
    if not result.is_file() or result.stat().st_mtime < checkpoint.stat().st_mtime:
        cfg.load_from = str(checkpoint)
        replace_text(result, json.dumps(quiet_runner(cfg).test()))
    return json.loads(result.read_text())


def mean_and_std(values: list[float]) -> str:
    """'mean ± standard deviation' of a figure over seeds.

    Example:
        >>> mean_and_std([1, 2, 3]), mean_and_std([2.5])
        ('2.00 ± 1.00', '2.50')
    """
    spread = f' ± {np.std(values, ddof=1):.2f}' if len(values) > 1 else ''
    return f'{np.mean(values):.2f}{spread}'
