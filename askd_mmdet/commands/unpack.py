"""Unpack a file of insightface to ordinary picture files, which are copied as they are and not encoded anew.

train.rec becomes a folder for each identity in DEST, for FaceFolderDataset; agedb_30.bin becomes DEST/pictures and
DEST/pairs.txt, for PairListDataset. Interrupted, the same command goes on where it stopped. Pictures are not decoded:
askd check says which are damaged.
"""

import argparse
from pathlib import Path

EPILOG = 'The exit status is 1 when the file, or a record that was left out, is damaged.'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('source', type=Path, metavar='SOURCE', help='train.rec (beside train.idx), or a .bin file')
    parser.add_argument(
        'dest', type=Path, metavar='DEST', help='folder to write; new, or of a run that was interrupted'
    )


def run(args: argparse.Namespace) -> int:
    from askd_mmdet.recognition.unpacking import unpack_bundle, unpack_records

    if args.source.suffix not in ('.rec', '.bin') or not args.source.is_file():
        raise ValueError(f'found {args.source}, expected an existing .rec or .bin file')
    faults = (unpack_records if args.source.suffix == '.rec' else unpack_bundle)(args.source, args.dest)
    if faults:
        print(f'left out {len(faults)} damaged records:', *faults, sep='\n  ')
    return int(bool(faults))
