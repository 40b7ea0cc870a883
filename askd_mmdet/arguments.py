"""Options that several commands share. Nothing heavy is imported here: `--help` answers at once."""

import argparse
from pathlib import Path


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Where the data are, and settings that override the config's."""
    parser.add_argument(
        '--data', metavar='ROOT', help="the folder of the data sets, which the configs call 'data' (default: data)"
    )
    add_options(
        parser,
        'override settings of the config, e.g. train_cfg.max_epochs=30 train_dataloader.batch_size=8',
    )


def add_options(parser: argparse.ArgumentParser, text: str) -> None:
    parser.add_argument('--cfg-options', nargs='+', default=[], metavar='NAME=VALUE', help=text)


def add_run(parser: argparse.ArgumentParser) -> None:
    """The options that MMEngine users expect of a command that runs a config."""
    parser.add_argument(
        'config', help='a shipped config, e.g. askd_mmdet::detection/tinaface_r50-bn-cbam_widerface.py, or a file'
    )
    parser.add_argument('--work-dir', help='where logs and checkpoints go (default: work_dirs/<config name>)')
    add_settings(parser)
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='how the processes of a distributed run are started (torchrun: pytorch); without a GPU it runs on gloo',
    )
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help='set by the launcher')


def add_jobs(parser: argparse.ArgumentParser, work_dir: str) -> None:
    """The options of a command that trains and tests many networks."""
    add_settings(parser)
    parser.add_argument('--jobs', type=positive, default=1, help='runs at a time, which share the GPUs (default: 1)')
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm'],
        default='none',
        help='one process a run (none), or one for each of --gpus: by torchrun, or by srun (options in SRUN_ARGS)',
    )
    parser.add_argument('--gpus', type=positive, default=1, help='processes of a run with --launcher (default: 1)')
    parser.add_argument(
        '--work-dir', type=Path, default=Path(work_dir), help='of all runs and results (default: %(default)s)'
    )


def add_network(
    parser: argparse.ArgumentParser,
    example: str = 'recognition/arcface_ir50-cbam_casia-4x_askd.py',
    batch_size: int = 64,
    setting: str = 'model.head=None for a checkpoint without a head',
) -> None:
    """The options of a command that uses a trained network.

    Args:
        parser: Of the command.
        example: A config of such networks.
        batch_size: Without an option.
        setting: An example of one that may be overridden.
    """
    parser.add_argument(
        'config',
        help=f'its config, e.g. askd_mmdet::{example}, or a file; or an ONNX file of askd export, without a checkpoint',
    )
    parser.add_argument('checkpoint', nargs='?', help='weights that were trained with the config, e.g. epoch_20.pth')
    # Argparse else gives the optional argument its place before it has seen what stands behind the next option.
    parser.parse_args = parser.parse_intermixed_args
    parser.add_argument(
        '--degrade',
        action='store_true',
        help="degrade the pictures as the config's test does (default: take them as they are)",
    )
    parser.add_argument('--device', help='cpu, cuda, cuda:1, ... (default: a GPU where there is one)')
    parser.add_argument(
        '--batch-size', type=positive, default=batch_size, help='pictures at a time (default: %(default)s)'
    )
    add_options(parser, f'override settings of the config, e.g. {setting}')


def add_detector(parser: argparse.ArgumentParser) -> None:
    """The options of a command that takes photographs instead of aligned faces."""
    parser.add_argument(
        '--detector',
        nargs='+',
        metavar=('CONFIG', 'CHECKPOINT'),
        help='find the faces in photographs by this detector, e.g. '
        'askd_mmdet::detection/tinaface_r50-bn-cbam_widerface.py epoch_630.pth, or by an ONNX file of askd export; to '
        'be named last (default: pictures are aligned faces)',
    )
    parser.add_argument(
        '--min-score',
        type=float,
        default=0.3,
        metavar='SCORE',
        help='of the faces that the detector finds, from 0 to 1 (default: %(default)s)',
    )


def new_file(text: str) -> Path:
    """A file to write, in a folder that may be missing."""
    path = Path(text)
    if path.is_dir():
        raise argparse.ArgumentTypeError(f'{path} is a folder; name a file in it')
    return path


def positive(text: str) -> int:
    """A whole number of 1 or more."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f'{number} is less than 1')
    return number
