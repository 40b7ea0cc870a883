"""Table 5 in small: HR teacher, LR base and A-SKD student are trained, tested, tabulated and reported on.

It is `askd table demo`, a report and a picture. The toy data are made of real faces that ship with scikit-image; two
cores take about 15 minutes. Interrupted, it goes on where it stopped when called again.
"""

import argparse

from askd_mmdet.arguments import add_jobs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('--seeds', type=int, nargs='+', default=[0], help='every network once from each (default: 0)')
    add_jobs(parser, work_dir='work_dirs/tables')


def run(args: argparse.Namespace) -> None:
    import shutil
    import sys
    from pathlib import Path

    from askd_mmdet.analysis.report import report
    from askd_mmdet.analysis.sections import Options
    from askd_mmdet.experiments import Launch, Plan, Table, check_failures, repeat
    from askd_mmdet.toy import make_missing
    from askd_mmdet.training.config import parse_overrides

    plan = Plan(
        Table.named('demo'), args.seeds, args.work_dir, data=args.data, options=parse_overrides(args.cfg_options)
    )
    make_missing(plan.table.data, args.data)
    table, failures = repeat(plan, Launch(args.jobs, args.launcher, args.gpus))
    if failures:
        print(f'\n{table}')
        check_failures(failures)
    trainings = list(plan.trainings.values())
    folders = [training.work_dir for training in trainings]
    page, picture = (plan.work_dir / f'demo.{ending}' for ending in ('html', 'jpg'))
    title = 'Demo: teacher, LR base and A-SKD student on toy data'
    left_out = report(folders, page, Options(title=title, sheet=picture))

    askd = shutil.which('askd') or Path(sys.executable).with_name('askd')
    student = trainings[-1]
    print(f'\n{table}\n')
    for line in left_out:
        print(line)
    print(
        f'The report, with curves, attention and detections: {page} (open it in a browser)\n'
        f'A picture of what they find: {picture}\n\n'
        'What to try next:\n'
        f'  {askd} demo --seeds 0 1 2    is the difference more than chance?\n'
        f'  {askd} detect {student.work_dir.with_suffix(".py")} {student.checkpoint} photos/    your own pictures\n'
        f'  {askd} check data/wider_face    the real thing: docs/detection.md'
    )
