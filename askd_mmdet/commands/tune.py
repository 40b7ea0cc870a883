"""Search for hyper-parameters as the paper did: at random, judged by a fifth of the training data that is held out.

The teacher is trained once on the rest of the data, and then a student for every trial, which is tested on what was
held out: on pairs of identities that no network has seen, on pictures for classes and faces. The real validation and
test sets take no part. The same command goes on with a search that was interrupted, or adds trials to it.
"""

import argparse

from askd_mmdet.arguments import add_jobs, positive

EPILOG = """
example, which ends with the options for askd train:
  askd tune askd_mmdet::recognition/arcface_ir50-cbam_casia-4x_askd.py --trials 20 \\
      --space lambda=log:0.1:100 optim_wrapper.optimizer.lr=log:0.01:0.5
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('config', help='the experiment, a student or any other: askd_mmdet::..., or a file')
    parser.add_argument(
        '--space',
        nargs='+',
        metavar='NAME=KIND',
        default=['lambda=log:0.1:100'],
        help='settings of the config by dotted name, or lambda, and where to look: log:LOW:HIGH, float:LOW:HIGH, '
        'int:LOW:HIGH or choice:A,B,C (default: lambda=log:0.1:100, the weight of AttentionSimilarityLoss)',
    )
    parser.add_argument('--trials', type=positive, default=20, help='how many in all (default: 20)')
    parser.add_argument(
        '--held-out', type=float, default=0.2, help='share of the training identities or pictures (default: 0.2)'
    )
    parser.add_argument(
        '--pairs', type=int, default=6000, help='recognition: pairs of the identities held out (default: 6000)'
    )
    parser.add_argument(
        '--metric',
        help='what is best when it is greatest (default, by the task: verification/accuracy, accuracy/top1, '
        'coco/bbox_mAP_50)',
    )
    parser.add_argument(
        '--sampler',
        choices=['random', 'tpe'],
        default='random',
        help="random as the paper's, or Optuna's TPE (default: random)",
    )
    parser.add_argument('--seed', type=int, default=0, help='of the draws and of all networks (default: 0)')
    add_jobs(parser, work_dir='work_dirs/search')


def run(args: argparse.Namespace) -> None:
    try:
        import optuna  # noqa: F401
    except ImportError:
        raise ValueError("tuning needs Optuna: pip install 'askd_mmdet[tune]'") from None
    from askd_mmdet.experiments import Launch
    from askd_mmdet.experiments.tuning import search
    from askd_mmdet.training.config import parse_overrides

    settings = {name: getattr(args, name) for name in ('trials', 'held_out', 'pairs', 'metric', 'sampler', 'seed')}
    search(
        args.config,
        args.space,
        work_dir=args.work_dir,
        data=args.data,
        options=parse_overrides(args.cfg_options),
        launch=Launch(args.jobs, args.launcher, args.gpus),
        **settings,
    )
