"""Train a teacher, an LR base or a distilled student: whatever the config describes."""

import torch
from mmengine.registry import RUNNERS

from askd_mmdet.training.launch import common_parser, read_config


def parse_args():
    parser = common_parser(__doc__)
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
    args = parser.parse_args()
    if args.amp and not torch.cuda.is_available():
        parser.error('--amp needs a GPU, and torch sees none here; train without it')
    return args


def main():
    args = parse_args()
    cfg = read_config(args)
    if args.amp:
        cfg.optim_wrapper.type = 'AmpOptimWrapper'
        cfg.optim_wrapper.setdefault('loss_scale', 'dynamic')
    if args.auto_scale_lr:
        cfg.auto_scale_lr.enable = True
    if args.resume:
        cfg.resume = True
        cfg.load_from = None if args.resume == 'auto' else args.resume
    RUNNERS.build(cfg).train()


if __name__ == '__main__':
    main()
