"""Train a teacher, an LR base or a distilled student: whatever the config describes."""

import argparse

from askd_mmdet.arguments import add_run


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_run(parser)
    parser.add_argument(
        '--teacher', metavar='CHECKPOINT', help="path or URL of the teacher's weights, instead of the config's"
    )
    parser.add_argument('--teacher-config', metavar='CONFIG', help="the teacher's config, instead of the config's")
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        help='continue from the newest checkpoint of the work directory, or from the one named',
    )
    parser.add_argument('--amp', action='store_true', help='automatic mixed precision (needs a GPU)')
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help='scale the learning rate with the total batch size (auto_scale_lr.base_batch_size in the config)',
    )


def run(args: argparse.Namespace) -> None:
    import torch
    from mmengine.registry import RUNNERS

    from askd_mmdet.training.launch import read_config, set_teacher

    if args.amp and not torch.cuda.is_available():
        raise ValueError('--amp needs a GPU, and torch sees none here; train without it')
    cfg = read_config(args)
    if args.teacher or args.teacher_config:
        set_teacher(cfg, args.teacher, args.teacher_config)
    if args.amp:
        cfg.optim_wrapper.type = 'AmpOptimWrapper'
        cfg.optim_wrapper.setdefault('loss_scale', 'dynamic')
    if args.auto_scale_lr:
        cfg.auto_scale_lr.enable = True
    if args.resume:
        cfg.resume = True
        cfg.load_from = None if args.resume == 'auto' else args.resume
    RUNNERS.build(cfg).train()
