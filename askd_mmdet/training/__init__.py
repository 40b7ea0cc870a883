"""What every run needs: pictures, patience with bad ones, checkpoints, repeatable epochs, an end to diverged runs."""

from askd_mmdet.training.amp import BFloat16OptimWrapper
from askd_mmdet.training.checkpoint import CrashSafeCheckpointHook, load_weights, read_checkpoint
from askd_mmdet.training.classes_hook import ClassesHook
from askd_mmdet.training.compiled import CompileHook
from askd_mmdet.training.finite_loss import FiniteLossHook
from askd_mmdet.training.held_out import held_out_split
from askd_mmdet.training.model import build_model
from askd_mmdet.training.pictures import LoadPicture, RandomMirror
from askd_mmdet.training.runner import SafeRunner
from askd_mmdet.training.seed import EpochSeedHook, seed_worker
from askd_mmdet.training.unreadable import ReplacesUnreadable, UnreadableImagesHook

__all__ = [
    'BFloat16OptimWrapper',
    'ClassesHook',
    'CompileHook',
    'CrashSafeCheckpointHook',
    'EpochSeedHook',
    'FiniteLossHook',
    'LoadPicture',
    'RandomMirror',
    'ReplacesUnreadable',
    'SafeRunner',
    'UnreadableImagesHook',
    'build_model',
    'held_out_split',
    'load_weights',
    'read_checkpoint',
    'seed_worker',
]
