"""Files of insightface as ordinary picture files, which are copied as they are and not encoded anew."""

import os
from pathlib import Path

from askd_mmdet.progress import track
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
    for i, key in enumerate(track(records.keys.tolist(), 'unpacking')):
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
    for i, content in enumerate(track(pictures, 'unpacking')):
        names.append(f'pictures/{i:0{len(str(len(pictures)))}d}{suffix(content)}')
        write(dest / names[-1], content)
    lines = [f'{a}\t{b}\t{int(one)}\n' for a, b, one in zip(names[::2], names[1::2], same)]
    replace_text(dest / 'pairs.txt', ''.join(lines))
    print(f'{dest}: {len(pictures)} pictures, {len(lines)} pairs')
    return []
