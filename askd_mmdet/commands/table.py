"""Repeat a table: train what is missing, test it, and print our figures beside the paper's.

A table is the name of a shipped one, as table4, or a file. What is finished is kept, what was interrupted goes on, and
a run that fails stops only those that need it: the same command, called again, does the rest.
"""

import argparse

from askd_mmdet.arguments import add_jobs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('table', help='the name of a shipped table (table1 to table5, toy1 to toy5, ...) or a file')
    parser.add_argument('--seeds', type=int, nargs='+', default=[0], help='every network once from each (default: 0)')
    parser.add_argument('--methods', nargs='+', help='only these rows, as the table calls them (default: all)')
    parser.add_argument('--base', metavar='METHOD', help='compare the others with this row (default: the base)')
    parser.add_argument('--dry-run', action='store_true', help='print the plan, and end; nothing is written')
    parser.add_argument(
        '--estimate',
        action='store_true',
        help='with --dry-run: run a few steps of each, and say how long it takes',
    )
    add_jobs(parser, work_dir='work_dirs/tables')


def run(args: argparse.Namespace) -> None:
    from askd_mmdet.experiments import Launch, Plan, Table, check_failures, describe, repeat
    from askd_mmdet.toy import make_missing
    from askd_mmdet.training.config import parse_overrides

    if args.estimate and not args.dry_run:
        raise ValueError('--estimate belongs to --dry-run')
    plan = Plan(
        Table.named(args.table),
        args.seeds,
        args.work_dir,
        methods=args.methods,
        base=args.base,
        data=args.data,
        options=parse_overrides(args.cfg_options),
    )
    if args.estimate or not args.dry_run:
        make_missing(plan.table.data, args.data)
    if args.dry_run:
        for line in describe(plan, args.estimate):
            print(line)
        return
    table, failures = repeat(plan, Launch(args.jobs, args.launcher, args.gpus))
    print(f'\n{table}')
    check_failures(failures)
    folders = ' '.join(dict.fromkeys(str(training.work_dir.parent) for training in plan.trainings.values()))
    print(f'Curves, attention and pictures of these networks: askd report {folders}')
