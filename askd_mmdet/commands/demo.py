"""Table 5 in small: HR teacher, LR base and A-SKD student are trained, tested, tabulated and drawn.

It is `askd table demo` and a picture. The toy data are made of real faces that ship with scikit-image; two cores take
about 15 minutes. Interrupted, it goes on where it stopped when called again.
"""

import argparse

from askd_mmdet.arguments import add_jobs

STUDENTS = ('Base', 'A-SKD')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('--seeds', type=int, nargs='+', default=[0], help='every network once from each (default: 0)')
    add_jobs(parser, work_dir='work_dirs/tables')


def run(args: argparse.Namespace) -> None:
    from askd_mmdet.detection.sheet import draw
    from askd_mmdet.experiments import Launch, Plan, Table, check_failures, repeat, run_jobs, submission_job
    from askd_mmdet.toy import make_missing
    from askd_mmdet.training.config import parse_overrides

    plan = Plan(
        Table.named('demo'), args.seeds, args.work_dir, data=args.data, options=parse_overrides(args.cfg_options)
    )
    make_missing(plan.table.data, args.data)
    repeat(plan, Launch(args.jobs, args.launcher, args.gpus))
    tests = [next(test for test in plan.tests if test.row.method == method) for method in STUDENTS]
    check_failures(run_jobs([submission_job(test) for test in tests]))
    picture = plan.work_dir / 'demo.png'
    draw(tests[0].cfg, [test.work_dir / 'submission' for test in tests], picture)
    print(f'The picture: {picture} (green: on a face, red: beside)')
