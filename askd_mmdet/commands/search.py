"""Find the faces of a gallery that are most similar to each probe.

PROBES and GALLERY are each a picture, a folder of pictures, or an .npz file of askd embed, which must come from the
same weights. With --detector pictures are photographs, in which the faces are found and aligned first: by MTCNN's
landmarks where the extra is installed (pip install 'askd_mmdet[align]'), else by their boxes. A picture that is in
both is not compared with itself.
"""

import argparse
from pathlib import Path

from askd_mmdet.arguments import add_detector, add_network, new_file, positive


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_network(parser)
    add_detector(parser)
    parser.add_argument('probes', type=Path, help='picture, folder or .npz: the faces to look for')
    parser.add_argument('gallery', type=Path, help='picture, folder or .npz: the faces to look among')
    parser.add_argument(
        '--top', type=positive, default=5, metavar='N', help='faces for each probe (default: %(default)s)'
    )
    parser.add_argument('--csv', type=new_file, metavar='FILE', help='also write probe,rank,gallery,cosine to FILE')
    parser.add_argument(
        '--sheet',
        type=new_file,
        metavar='FILE',
        help='also draw the first 100 probes into FILE (*.jpg, *.png), each in a row with its best gallery faces, '
        'their cosines and names',
    )


def run(args: argparse.Namespace) -> None:
    from askd_mmdet.analysis.networks import build_embedder
    from askd_mmdet.analysis.photographs import face_reader
    from askd_mmdet.recognition.gallery import search_gallery

    if args.sheet and args.sheet.suffix.lower() not in ('.jpg', '.png'):
        raise ValueError(f'--sheet {args.sheet} should end with .jpg or .png')
    for source in (args.probes, args.gallery):
        if not source.exists():
            raise FileNotFoundError(f'{source} does not exist; expected a picture, a folder or an .npz file')
    probes, gallery = map(face_reader(args, build_embedder(args)), (args.probes, args.gallery))
    for row in search_gallery(probes, gallery, args.top, args.csv, args.sheet):
        print(*row, sep='\t')
