"""What tools/train.py and tools/test.py share: the command line's common part, and DDP where there is no GPU."""

import argparse
import os
from pathlib import Path

import torch
from mmengine.config import Config, DictAction


def common_parser(description: str) -> argparse.ArgumentParser:
    """The options that MMEngine users expect of every tool that takes a config."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument('config', help='config file, e.g. configs/detection/tinaface_r50-bn-cbam_widerface.py')
    parser.add_argument('--work-dir', help='where logs and checkpoints go (default: work_dirs/<config name>)')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        help='override settings of the config, e.g. train_cfg.max_epochs=30 train_dataloader.batch_size=8',
    )
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='how the processes of a distributed run are started (torchrun: pytorch); without a GPU it runs on gloo',
    )
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help='set by the launcher')
    return parser


def read_config(args: argparse.Namespace) -> Config:
    """The config that the command line asks for.

    Raises:
        FileNotFoundError: When there is no such config.
    """
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    if not Path(args.config).is_file():
        raise FileNotFoundError(f'no config at {args.config}; see configs/ for what there is')
    cfg = Config.fromfile(args.config)
    cfg.launcher = args.launcher
    cfg.merge_from_dict(args.cfg_options or {})
    cfg.work_dir = args.work_dir or cfg.get('work_dir') or f'work_dirs/{Path(args.config).stem}'
    if args.launcher == 'pytorch' and not torch.cuda.is_available():
        # MMEngine's launchers need a GPU; a process group that is already there they take as it is.
        torch.distributed.init_process_group('gloo')
        cfg.model_wrapper_cfg = dict(type='MMDistributedDataParallel', device_ids=None, broadcast_buffers=False)
    return cfg
