"""How long a training would take, by a few of its steps."""

import copy
import tempfile
import time
from itertools import cycle, islice

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import RUNNERS, DefaultScope

from askd_mmdet.training.amp import mixed
from askd_mmdet.training.launch import distillation_of
from askd_mmdet.training.settings import check_number


def _now() -> float:
    """The time when all that was asked for is done."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def seconds_of(cfg: Config, steps: int = 3) -> float:
    """Seconds that one epoch of a training would take on this machine, without loading of pictures and validation.

    The steps are real ones on real pictures. A student's teacher, which need not be trained yet, is counted as one more
    forward pass of the student, being of its size.

    Args:
        cfg: The experiment.
        steps: How many are measured, after a first one that is not.

    Raises:
        ValueError: When `steps` is no whole number or less than 1.
    """
    check_number('seconds_of', 'steps', steps, whole=True, at_least=1)
    cfg = copy.deepcopy(cfg)
    distilled = distillation_of(cfg)
    if distilled:
        cfg.custom_hooks.remove(distilled)
    cfg.log_level = 'ERROR'
    with tempfile.TemporaryDirectory() as folder:
        cfg.work_dir = folder
        cfg.experiment_name = f'estimate-{time.time_ns()}'
        runner = RUNNERS.build(cfg)
        with DefaultScope.overwrite_default_scope(cfg.get('default_scope')):
            loader = runner.build_dataloader(cfg.train_dataloader)
            optimiser = runner.build_optim_wrapper(mixed(cfg.optim_wrapper, cfg.get('amp')))
        seconds = []
        runner.model.train()
        for batch in islice(cycle(loader), steps + 1):
            batch.pop('hr_inputs', None)
            start = _now()
            runner.model.train_step(copy.copy(batch), optimiser)
            if distilled:
                with torch.no_grad(), optimiser.optim_context(runner.model):
                    runner.model(runner.model.data_preprocessor(batch)['inputs'], mode='tensor')
            seconds.append(_now() - start)
        return float(np.median(seconds[1:])) * len(loader)
