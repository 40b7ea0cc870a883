"""Divide data of one's own into a part to train on and one to test, each picture in one of them."""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    kinds = parser.add_subparsers(dest='kind', metavar='KIND', required=True)
    identities = kinds.add_parser(
        'identities',
        help='folders of people: some to train on, pairs of the others to verify',
        description="Copies SOURCE's identities to DEST/train and DEST/verify and writes DEST/pairs.txt, folds of equally "
        'many pairs of one person and of two, for the configs askd_mmdet::recognition/arcface_ir50-cbam_people....',
    )
    identities.add_argument('source', type=Path, help='folder with a folder of pictures for each identity')
    identities.add_argument('dest', type=Path, help='new folder')
    identities.add_argument(
        '--held-out', type=int, required=True, metavar='N', help='identities to verify, drawn at random'
    )
    identities.add_argument('--pairs', type=int, default=600, help='pairs to verify (default: %(default)s)')
    identities.add_argument('--folds', type=int, default=10, help='folds of the protocol (default: %(default)s)')
    identities.add_argument('--seed', type=int, default=0, help='another number, another split (default: %(default)s)')
    wider_face = kinds.add_parser(
        'wider_face',
        help="annotated pictures in WIDER FACE's format: every n-th one is held out",
        description='Writes both parts in the layout of the download; the ground truth of the evaluation is cut to what '
        'is held out.',
    )
    wider_face.add_argument('images', type=Path, help='folder of the event folders, e.g. WIDER_val/images')
    wider_face.add_argument('annotation', type=Path, help='e.g. wider_face_split/wider_face_val_bbx_gt.txt')
    wider_face.add_argument(
        'ground_truth', type=Path, help='folder of the four .mat files, e.g. eval_tools/ground_truth'
    )
    wider_face.add_argument('out', type=Path, help='new folder for the two parts')
    wider_face.add_argument('--every', type=int, default=4, help='hold out every n-th picture (default: 4)')


def run(args: argparse.Namespace) -> None:
    options = vars(args)
    if options.pop('kind') == 'identities':
        from askd_mmdet.recognition.splitting import split_identities

        identities, pairs = split_identities(**options)
        print(f'{args.dest}: {identities} identities to train on, {pairs} pairs of the others')
        return
    from askd_mmdet.analysis.splitting import split_wider_face

    sizes = split_wider_face(**options)
    print(f'{sizes["train"]} pictures to train on, {sizes["val"]} held out: {args.out}')
