"""Random states: kept where a component must not disturb them, and set anew at every epoch."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.registry import FUNCTIONS, HOOKS
from mmengine.runner import Runner


@contextmanager
def preserved_random_state() -> Iterator[None]:
    """Restore the states of `random`, numpy and torch (the GPUs' too) on leaving the context."""
    python_state, numpy_state = random.getstate(), np.random.get_state()
    with torch.random.fork_rng():
        try:
            yield
        finally:
            random.setstate(python_state)
            np.random.set_state(numpy_state)


def seed_all(entropy: list[int]) -> None:
    """Seed `random`, numpy and torch from a list of integers; every list gives states of its own."""
    python_seed, numpy_seed, torch_seed = np.random.SeedSequence(entropy).generate_state(3)
    random.seed(int(python_seed))
    np.random.seed(int(numpy_seed))
    torch.manual_seed(int(torch_seed))


@HOOKS.register_module()
class EpochSeedHook(Hook):
    """Seeds every epoch from (seed, epoch, rank).

    Checkpoints hold no random state. With this hook, :func:`seed_worker` in the dataloader and
    ``persistent_workers=False``, a run that was killed and resumed draws what an uninterrupted one draws, and
    no two epochs replay the same augmentations.

    Raises:
        ValueError: When the training dataloader keeps its workers over epochs, which would draw on unseeded.
    """

    priority = 'VERY_HIGH'

    def before_train_epoch(self, runner: Runner) -> None:
        if getattr(runner.train_dataloader, 'persistent_workers', False):
            raise ValueError(
                'EpochSeedHook cannot seed workers that live on: set train_dataloader.persistent_workers=False'
            )
        seed_all([runner.seed, runner.epoch, get_rank()])


@FUNCTIONS.register_module()
def seed_worker(worker_id: int) -> None:
    """Seed a dataloader worker from the seed that torch drew for it in the main process at the start of the epoch."""
    seed_all([torch.initial_seed()])
