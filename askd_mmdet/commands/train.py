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
        help='continue from the newest checkpoint of the work directory, which begins anew where there is none, or '
        'from the one named',
    )
    parser.add_argument(
        '--amp',
        choices=['bfloat16', 'float16'],
        help='automatic mixed precision, of the teacher too (float16 needs a GPU); amp=bfloat16 among the settings of '
        'a config or of --cfg-options is the same',
    )
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help='scale the learning rate with the total batch size (auto_scale_lr.base_batch_size in the config)',
    )


def run(args: argparse.Namespace) -> None:
    from mmengine.registry import RUNNERS

    from askd_mmdet.training.config import override
    from askd_mmdet.training.launch import leave, read_config, set_teacher

    cfg = read_config(args)
    if args.teacher or args.teacher_config:
        set_teacher(cfg, args.teacher, args.teacher_config)
    if args.amp:
        override(cfg, dict(amp=args.amp))
    if args.auto_scale_lr:
        if not cfg.get('auto_scale_lr'):
            raise ValueError(
                f'{args.config} does not say for which batch its learning rate is; add '
                '--cfg-options auto_scale_lr.base_batch_size=N'
            )
        cfg.auto_scale_lr.enable = True
    if args.resume:
        cfg.resume = 'auto'
        if args.resume != 'auto':
            cfg.update(resume=True, load_from=args.resume)
    RUNNERS.build(cfg).train()
    leave()
