"""Crop the face in every picture below a folder as ArcFace networks expect it: five landmarks onto a template.

The landmarks come from a file, or from MTCNN where the extra is installed (pip install 'askd_mmdet[align]'). Of several
faces in a picture the largest one is taken, from a file the first. Called again, it goes on with the missing crops.
"""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
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
    parser.add_argument('--size', type=int, default=112, help='side of the crops in pixels (default: %(default)s)')


def run(args: argparse.Namespace) -> None:
    from askd_mmdet.recognition.cropping import crop_faces

    counts = crop_faces(args.source, args.dest, args.landmarks, args.size)
    told = '{written} crops written, {there} were there, {skipped} skipped (see skipped.txt)'.format(**counts)
    print(f'{args.dest}: {told}')
