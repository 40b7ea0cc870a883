"""Unpack a file of insightface to ordinary picture files, which are copied as they are and not encoded anew.

train.rec becomes a folder for each identity in DEST, for FaceFolderDataset; agedb_30.bin becomes DEST/pictures and
DEST/pairs.txt, for PairListDataset. Interrupted, the same command goes on where it stopped. Pictures are not decoded:
tools/check_faces.py says which are damaged.
"""

import argparse
import os
import sys
from pathlib import Path

from rich.console import Console
from rich.progress import track

from askd_mmdet.recognition.bundle import read_bundle
from askd_mmdet.recognition.record_io import RecordFile
from askd_mmdet.training.files import replace_text


def write(path: Path, content: bytes) -> None:
    """Write a whole file or nothing; one that is there already is left alone."""
    # Files appear when they are complete, so that one of this size need not be compared.
    if path.is_file() and path.stat().st_size == len(content):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f'{path.name}.part')
    part.write_bytes(content)
    os.replace(part, path)


def suffix(content: bytes) -> str:
    return '.png' if content.startswith(b'\x89PNG') else '.jpg'


def unpack_records(source: Path, dest: Path) -> list[str]:
    """Write DEST/<label>/<key>.jpg; returns what is wrong with the records that were left out."""
    records = RecordFile(source)
    label_digits, key_digits = len(str(records.labels.max())), len(str(records.keys[-1]))
    faults = []
    for i, key in enumerate(track(records.keys.tolist(), 'unpacking', console=Console(stderr=True))):
        try:
            content = records.read(i)
        except ValueError as error:
            faults.append(str(error))
            continue
        folder = dest / f'{records.labels[i]:0{label_digits}d}'
        write(folder / f'{key:0{key_digits}d}{suffix(content)}', content)
    print(f'{dest}: {len(records) - len(faults)} pictures of {len(set(records.labels.tolist()))} identities')
    return faults


def unpack_bundle(source: Path, dest: Path) -> list[str]:
    """Write DEST/pictures/<number>.jpg and, when they are complete, DEST/pairs.txt; nothing is left out."""
    pictures, same = read_bundle(source)
    names = []
    for i, content in enumerate(track(pictures, 'unpacking', console=Console(stderr=True))):
        names.append(f'pictures/{i:0{len(str(len(pictures)))}d}{suffix(content)}')
        write(dest / names[-1], content)
    lines = [f'{a}\t{b}\t{int(one)}\n' for a, b, one in zip(names[::2], names[1::2], same)]
    replace_text(dest / 'pairs.txt', ''.join(lines))
    print(f'{dest}: {len(pictures)} pictures, {len(lines)} pairs')
    return []


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog='The exit status is 1 when the file, or a record that was left out, is damaged.',
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('source', type=Path, metavar='SOURCE', help='train.rec (beside train.idx), or a .bin file')
    parser.add_argument(
        'dest', type=Path, metavar='DEST', help='folder to write; new, or of a run that was interrupted'
    )
    args = parser.parse_args(arguments)
    if args.source.suffix not in ('.rec', '.bin') or not args.source.is_file():
        parser.error(f'found {args.source}, expected an existing .rec or .bin file')

    unpack = unpack_records if args.source.suffix == '.rec' else unpack_bundle
    try:
        faults = unpack(args.source, args.dest)
    except (OSError, ValueError) as error:
        sys.exit(f'error: {error}')
    if faults:
        print(f'left out {len(faults)} damaged records:', *faults, sep='\n  ')
    return bool(faults)


if __name__ == '__main__':
    sys.exit(main())
