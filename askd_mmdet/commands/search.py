"""Find the faces of a gallery that are most similar to each probe.

PROBES and GALLERY are each a picture, a folder of pictures, or an .npz file of askd embed, which must come from the
same weights. A picture that is in both is not compared with itself.
"""

import argparse
from pathlib import Path

from askd_mmdet.arguments import add_network, positive


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_network(parser)
    parser.add_argument('probes', type=Path, help='picture, folder or .npz: the faces to look for')
    parser.add_argument('gallery', type=Path, help='picture, folder or .npz: the faces to look among')
    parser.add_argument(
        '--top', type=positive, default=5, metavar='N', help='faces for each probe (default: %(default)s)'
    )
    parser.add_argument('--csv', type=Path, metavar='FILE', help='also write probe,rank,gallery,cosine to FILE')
    parser.add_argument(
        '--sheet',
        type=Path,
        metavar='FILE',
        help='also draw the first 100 probes into FILE (*.jpg, *.png), each in a row with its best gallery faces and '
        'their cosines',
    )


def run(args: argparse.Namespace) -> None:
    from askd_mmdet.analysis.networks import build_embedder
    from askd_mmdet.recognition.gallery import read_or_embed, search_gallery

    if args.sheet and args.sheet.suffix.lower() not in ('.jpg', '.png'):
        raise ValueError(f'--sheet {args.sheet} should end with .jpg or .png')
    for source in (args.probes, args.gallery):
        if not source.exists():
            raise FileNotFoundError(f'{source} does not exist; expected a picture, a folder or an .npz file')
    embedder = build_embedder(args)
    probes, gallery = (read_or_embed(path, embedder, args.batch_size) for path in (args.probes, args.gallery))
    for row in search_gallery(probes, gallery, args.top, args.csv, args.sheet):
        print(*row, sep='\t')
