"""Crop the face in every picture below a folder as ArcFace networks expect it: five landmarks onto a template.

The landmarks come from a file, or from MTCNN where the optional facenet-pytorch is installed. Of several faces in a
picture the largest one is taken, from a file the first. Called again, the tool goes on with the crops that are missing.
"""

import argparse
import csv
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image
from rich.progress import track

from askd_mmdet.recognition.alignment import TEMPLATE_SIZE, align
from askd_mmdet.training.files import replace_text
from askd_mmdet.training.pictures import PICTURES, find_pictures, read_picture, read_text

# MTCNN has no window that fits into less.
SMALLEST_PICTURE = 20


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('source', type=Path, help='folder of pictures, at any depth')
    parser.add_argument('dest', type=Path, help='folder for the crops, which keep their relative names')
    parser.add_argument(
        '--landmarks',
        type=Path,
        metavar='CSV',
        help='lines "path,x1,y1,...,x5,y5": a picture relative to SOURCE, and in pixels the eye at the left of the '
        'picture, the other eye, the nose, the corner of the mouth at the left, the other corner; a header is allowed '
        '(default: MTCNN finds them)',
    )
    parser.add_argument(
        '--size', type=int, default=TEMPLATE_SIZE, help='side of the crops in pixels (default: %(default)s)'
    )
    return parser


def read_landmarks(path: Path) -> dict[str, np.ndarray]:
    """Landmarks (5, 2) of the first face of each picture in a CSV file.

    Raises:
        OSError: When the file cannot be read.
        ValueError: For a line that is not a name and ten numbers.
    """
    landmarks = {}
    try:
        rows = list(csv.reader(read_text(path).splitlines()))
    except csv.Error as error:
        raise ValueError(f'{path} is no CSV file: {error}') from error
    for row in rows:
        # A header has no number at all; an empty line has nothing.
        if not row or (not landmarks and len(row) == 11 and not any(map(_is_number, row[1:]))):
            continue
        name, *numbers = row
        if len(numbers) != 10 or not all(map(_is_number, numbers)):
            raise ValueError(f'{path}: found {",".join(row)!r}, expected a path and ten numbers: path,x1,y1,...,x5,y5')
        landmarks.setdefault(Path(name).as_posix(), np.array(numbers, np.float64).reshape(5, 2))
    return landmarks


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return text.isascii()  # of other scripts' digits Python makes numbers as well


def face_finder() -> Callable[[str, np.ndarray], np.ndarray | None]:
    """MTCNN as a function from a name and a BGR picture (H, W, 3) to the landmarks (5, 2) of its largest face, or None.

    Raises:
        ModuleNotFoundError: When facenet-pytorch is not installed.
    """
    import torch
    from facenet_pytorch import MTCNN

    mtcnn = MTCNN(select_largest=True, device=torch.device('cuda' if torch.cuda.is_available() else 'cpu'))

    def find(name: str, image: np.ndarray) -> np.ndarray | None:
        if min(image.shape[:2]) < SMALLEST_PICTURE:
            return None
        _, _, points = mtcnn.detect(np.ascontiguousarray(image[..., ::-1]), landmarks=True)
        return None if points is None else points[0].astype(np.float64)

    return find


def crop_face(source: Path, dest: Path, name: str, find: Callable, size: int) -> str:
    """Write the crop of a picture, whole or not at all; returns why there is none, '' where there is one."""
    try:
        image = read_picture(source / name)
    except (OSError, ValueError):
        return 'cannot be read'
    if (landmarks := find(name, image)) is None:
        return 'no face'
    try:
        crop = align(image, landmarks, size)
    except ValueError as error:
        return str(error)
    path = dest / name
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f'{path.name}.part')
    picture = Image.fromarray(np.ascontiguousarray(crop[..., ::-1]))
    picture.save(part, format=Image.registered_extensions()[path.suffix.lower()], quality=95)
    os.replace(part, path)
    return ''


def main(arguments: list[str] | None = None):
    parser = make_parser()
    args = parser.parse_args(arguments)
    if not args.source.is_dir():
        parser.error(f'{args.source} is no folder')
    if args.dest.resolve().is_relative_to(args.source.resolve()):
        parser.error(f'{args.dest} lies in {args.source}; name a folder elsewhere, so that no crop is cropped again')
    if args.size < 1:
        parser.error(f'--size is {args.size}, expected at least 1')
    names = find_pictures(args.source, partial(print, file=sys.stderr))
    if not names:
        parser.error(f'{args.source} holds no picture ({", ".join(PICTURES)})')
    known = {}
    try:
        if args.landmarks:
            known = read_landmarks(args.landmarks)
        find = (lambda name, image: known.get(name)) if args.landmarks else face_finder()
    except (OSError, ValueError) as error:
        parser.error(str(error))
    except ModuleNotFoundError as error:
        parser.error(
            f"MTCNN is not installed ({error}): pip install 'facenet-pytorch<2.6' (later ones ask for an older torch), "
            'or name a file with --landmarks'
        )

    missing = [name for name in names if not (args.dest / name).is_file()]
    reasons = {name: crop_face(args.source, args.dest, name, find, args.size) for name in track(missing, 'aligning')}
    skipped = {name: reason for name, reason in reasons.items() if reason}
    written = len(missing) - len(skipped)
    skipped |= {name: f'no such picture in {args.source}' for name in sorted(known.keys() - set(names))}

    lines = [f'{name}\t{reason}\n' for name, reason in skipped.items()]
    replace_text(args.dest / 'skipped.txt', ''.join(lines))
    print(''.join(lines), end='')
    there = len(names) - len(missing)
    print(f'{args.dest}: {written} crops written, {there} were there, {len(skipped)} skipped (see skipped.txt)')


if __name__ == '__main__':
    main()
