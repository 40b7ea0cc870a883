"""From a command line to the config of one run: what `askd train` and `askd test` share, and DDP without a GPU."""

import argparse
import atexit
import os
import sys
from pathlib import Path

import torch
from mmengine.config import Config

from askd_mmdet.openmmlab import load
from askd_mmdet.training.config import load_config, moved, override, parse_overrides, type_name


def read_config(args: argparse.Namespace) -> Config:
    """The config that the command line asks for, see `askd_mmdet.arguments.add_run`.

    Raises:
        FileNotFoundError: When there is no such config.
        ValueError: For a setting that nothing reads, or a teacher for a config without one.
    """
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    cfg = load_config(args.config)
    if args.data:
        cfg = Config(moved(cfg.to_dict(), args.data), filename=cfg.filename)
    override(cfg, parse_overrides(args.cfg_options))
    if (scope := cfg.get('default_scope')) in ('mmdet', 'mmpretrain'):
        load(scope)  # a config of somebody's own model imports the core alone
    cfg.launcher = args.launcher
    cfg.work_dir = args.work_dir or cfg.get('work_dir') or f'work_dirs/{Path(args.config).stem}'
    if args.launcher == 'pytorch' and not torch.cuda.is_available():
        # MMEngine's launchers need a GPU; a process group that is already there they take as it is.
        torch.distributed.init_process_group('gloo')
        cfg.model_wrapper_cfg = dict(type='MMDistributedDataParallel', device_ids=None, broadcast_buffers=False)
    return cfg


def distillation_of(cfg: Config) -> dict | None:
    """The config of a student's distillation hook."""
    return next((hook for hook in cfg.get('custom_hooks') or () if type_name(hook) == 'DistillationHook'), None)


def set_teacher(cfg: Config, checkpoint: str | None, config: str | None) -> None:
    """Give a student another teacher.

    Args:
        cfg: The student's config.
        checkpoint: Path or URL of the teacher's weights; None keeps the config's.
        config: The teacher's config; None keeps the config's.

    Raises:
        ValueError: When the config has no `DistillationHook`.
    """
    hook = distillation_of(cfg)
    if hook is None:
        raise ValueError(
            f'{cfg.filename} has no DistillationHook, so --teacher and --teacher-config change nothing; students are '
            'the configs whose names end in _askd, _kd and the like'
        )
    hook.update({key: value for key, value in (('checkpoint', checkpoint), ('teacher', config)) if value})


def leave() -> None:
    """Take this process out of the process group of a distributed run that ended well, before Python ends; with gloo,
    end the process as well.

    Gloo's threads, if they are left to themselves, abort about every third such run of two processes at its very end
    (https://github.com/pytorch/pytorch/issues/190489), and NCCL warns. After an error nothing is to be left: it would
    wait for processes that wait for this one.
    """
    if torch.distributed.is_initialized():
        backend = torch.distributed.get_backend()
        torch.distributed.destroy_process_group()
        if backend == 'gloo':
            # DistributedDataParallel holds some of its threads even then, and now and then a run of two processes still
            # aborts at its very end. So this one ends earlier, behind what Python has registered for its end.
            atexit._run_exitfuncs()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(0)
