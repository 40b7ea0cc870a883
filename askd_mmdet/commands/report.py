"""Write a report on trained networks: one HTML file with results, curves, attention, detections and settings.

It opens offline, on a phone and in print, and is meant to be sent. A run is a folder of askd train, or one that holds
several, as those of askd table do. Runs that differ in nothing but their seed are one network in the report.
"""

import argparse
from pathlib import Path

from askd_mmdet.arguments import new_file, positive

EPILOG = """examples:
  askd report work_dirs/tables                       all runs of a table
  askd report work_dirs/teacher work_dirs/base work_dirs/student --out report.html
  askd report work_dirs/tables --pictures photos/    where they look on pictures of your own
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        'runs', nargs='+', type=Path, metavar='RUN', help='a work directory, or a folder that holds some'
    )
    parser.add_argument(
        '--out', type=new_file, default=Path('report.html'), help='file to write (default: %(default)s)'
    )
    parser.add_argument(
        '--data', metavar='ROOT', help="the folder of the data sets, where the runs' configs call it 'data'"
    )
    parser.add_argument('--title', help='of the report (default: named after the networks)')
    parser.add_argument(
        '--pictures', type=Path, metavar='FOLDER', help='show attention on these pictures (default: test pictures)'
    )
    parser.add_argument('--show', type=positive, default=6, help='how many pictures to show (default: %(default)s)')
    parser.add_argument(
        '--sample',
        type=positive,
        default=200,
        help='how many test pictures to look at for correlations, detections and the sweep, drawn by --seed '
        '(default: %(default)s)',
    )
    parser.add_argument('--seed', type=int, default=0, help='of what is drawn (default: %(default)s)')
    parser.add_argument(
        '--ratios',
        type=int,
        nargs='*',
        default=[1, 2, 4, 8, 16, 32],
        help='test the networks at these ratios; none to leave the sweep out (default: 1 2 4 8 16 32)',
    )
    parser.add_argument('--device', help='cpu, cuda, cuda:1, ... (default: a GPU where there is one)')


def run(args: argparse.Namespace) -> None:
    from askd_mmdet.analysis.report import report
    from askd_mmdet.analysis.sections import Options

    options = Options(args.title, args.pictures, args.show, args.sample, args.seed, tuple(args.ratios), args.device)
    for line in report(args.runs, args.out, options, args.data):
        print(line)
    print(f'{args.out}: {args.out.stat().st_size / 1e6:.1f} MB; open it in a browser')
