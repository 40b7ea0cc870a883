"""What reading WIDER FACE's text annotation costs: against a plain reader that takes line after line.

    python benchmarks/annotations.py

Both check the same of a face, read the same synthetic file of a million lines with the official data set's long tail
of faces in an image, in turn, and must return the same. The times are processor time of this process, so that other
work on the machine matters little. Target: 5 times as fast.
"""

import argparse
import re
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np

from askd_mmdet.detection.wider_face_dataset import read_annotations
from askd_mmdet.detection.wider_face_protocol import FURTHEST

FACE = re.compile(r'\s*' + r'\s+'.join([r'-?[0-9]+'] * 10) + r'\s*')


def write_annotation(path: Path, least_lines: int) -> tuple[int, int]:
    """Write an annotation of at least so many lines; returns the number of lines and of images."""
    rng = np.random.default_rng(0)
    lines, images = [], 0
    while len(lines) < least_lines:
        count = int(min(rng.lognormal(1.4, 1.5), 700)) + 1
        boxes, attributes = rng.integers(0, 1000, (count, 4)), rng.integers(0, 2, (count, 6))
        faces = [' '.join(map(str, face)) + ' ' for face in np.hstack([boxes, attributes]).tolist()]
        lines += [f'0--Synthetic/0_Synthetic_picture_{images}.jpg', str(count), *faces]
        images += 1
    path.write_text('\n'.join(lines))
    return len(lines), images


def plain_face(line: str) -> list[int]:
    """The ten integers of a line, with what ours checks."""
    if not FACE.fullmatch(line):
        raise ValueError(f'found {line!r}, expected ten integers')
    face = x, y, width, height, *_, invalid, _, _ = list(map(int, line.split()))
    if max(map(abs, (x, y, x + width, y + height))) > FURTHEST or invalid not in (0, 1):
        raise ValueError(f'found {line!r}, expected a box that a picture can hold, and invalid 0 or 1')
    return face


def plain_reader(path: Path) -> list[tuple]:
    """What the format says, line by line: name, count, faces."""
    images = []
    with path.open() as file:
        for line in file:
            name, count = line.strip(), int(next(file))
            faces = [plain_face(next(file)) for _ in range(max(count, 1))]
            faces = np.array(faces[:count], np.int64).reshape(-1, 10)
            images.append((name, faces[:, :4].astype(np.float32), faces[:, 4:]))
    return images


def seconds(function, *arguments) -> float:
    start = time.process_time()
    function(*arguments)
    return time.process_time() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--lines', type=int, default=1_000_000, help='least number of lines (default: 1000000)')
    parser.add_argument('--rounds', type=int, default=5, help='of which the median counts (default: 5)')
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, 'annotation.txt')
        lines, images = write_annotation(path, args.lines)
        for (name, *expected), (found_name, *found) in zip(plain_reader(path), read_annotations(path), strict=True):
            assert name == found_name and all(map(np.array_equal, expected, found))
        times = [(seconds(plain_reader, path), seconds(read_annotations, path)) for _ in range(args.rounds)]
    plain, ours = map(median, zip(*times))
    print(f'{lines} lines, {images} images\n')
    print('| | seconds of the processor |\n|---|---|')
    print(f'| plain reader | {plain:.2f} |\n| ours | {ours:.2f} |')
    print(f'\n{median(a / b for a, b in times):.1f} times as fast')


if __name__ == '__main__':
    main()
