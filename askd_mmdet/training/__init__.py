"""What every run needs: safe checkpoints, repeatable epochs, and an end to diverged runs."""

from askd_mmdet.training.checkpoint import CrashSafeCheckpointHook, load_weights, read_checkpoint
from askd_mmdet.training.finite_loss import FiniteLossHook
from askd_mmdet.training.runner import SafeRunner
from askd_mmdet.training.seed import EpochSeedHook, seed_worker

__all__ = [
    'CrashSafeCheckpointHook',
    'EpochSeedHook',
    'FiniteLossHook',
    'SafeRunner',
    'load_weights',
    'read_checkpoint',
    'seed_worker',
]
