"""Say what data hold, and what in them is missing or damaged.

PATH is the folder of a WIDER FACE download; a file of insightface (train.rec beside train.idx, agedb_30.bin); a list of
pairs (LFW's pairs.txt, or lines of two paths and 0 or 1); the folder of TinyFace; or a folder with a folder of pictures
for each identity or class. Of faces, pictures are compared byte by byte: copies are named, and pairs that contradict
each other or are all of one kind are problems.
"""

import argparse
import os
from pathlib import Path

from askd_mmdet.arguments import new_file

EPILOG = """WIDER FACE should lie as

<data root>/
  WIDER_train/images/<event>/*.jpg
  WIDER_val/images/<event>/*.jpg
  wider_face_split/wider_face_{train,val}_bbx_gt.txt
  eval_tools/ground_truth/wider_{face,easy,medium,hard}_val.mat

The exit status is 0 when all is well, 1 when something is missing or damaged, and 2 when the command line is wrong.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('path', type=Path, metavar='PATH', help='file or folder to check')
    parser.add_argument(
        '--workers',
        type=int,
        default=os.cpu_count(),
        metavar='N',
        help='processes that read; 0: only this one (default: %(default)s)',
    )
    parser.add_argument(
        '--pictures',
        type=Path,
        metavar='FOLDER',
        help="what the paths in a list of pairs are relative to (default: the list's folder)",
    )
    parser.add_argument(
        '--split',
        nargs='+',
        choices=['train', 'val'],
        default=['train', 'val'],
        help='WIDER FACE: which (default: both)',
    )
    parser.add_argument(
        '--fast', action='store_true', help='WIDER FACE: read only the header of each picture, which misses truncation'
    )
    parser.add_argument(
        '--show', type=int, default=5, metavar='N', help='how many of each problem to print (default: 5)'
    )
    parser.add_argument('--json', type=new_file, metavar='FILE', help='WIDER FACE: write all that was found to FILE')


def run(args: argparse.Namespace) -> int:
    if not args.path.exists():
        raise FileNotFoundError(f'{args.path} does not exist')
    if args.workers < 0:
        raise ValueError(f'--workers is {args.workers}, expected at least 0')
    if any((args.path / name).exists() for name in ('wider_face_split', 'WIDER_train', 'WIDER_val')):
        from askd_mmdet.detection.inspection import inspect_wider_face

        report, well = inspect_wider_face(args.path, args.split, args.fast, args.workers, args.show, args.json)
    else:
        from askd_mmdet.recognition.inspection import inspect_faces

        report, well = inspect_faces(args.path, args.pictures, args.workers, args.show)
    print(report)
    print('\nAll is well.' if well else '\nProblems found: download or unpack again what is named above.')
    return int(not well)
