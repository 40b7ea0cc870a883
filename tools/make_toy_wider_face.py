"""Make a small WIDER FACE from pictures that come with scikit-image, without a download."""

from askd_mmdet.toy import make_wider_face
from askd_mmdet.toy.folder import make_parser, run_tool


def main() -> None:
    parser = make_parser(make_wider_face, __doc__)
    parser.add_argument('--train-images', type=int, metavar='N', help='training pictures')
    parser.add_argument('--val-images', type=int, metavar='N', help='validation pictures')
    parser.add_argument('--size', type=int, nargs=2, metavar=('HEIGHT', 'WIDTH'), help='of the pictures, in pixels')
    parser.add_argument('--seed', type=int, metavar='N', help='another number, other pictures')
    parser.add_argument(
        '--faces-per-image', type=int, nargs=2, metavar=('LOW', 'HIGH'),
        help='faces in a picture that has any, and as many non-faces',
    )  # fmt: skip
    parser.add_argument(
        '--face-sizes',
        type=int,
        nargs=2,
        metavar=('LOW', 'HIGH'),
        help='heights of the faces, in pixels',
    )
    parser.add_argument('--without-faces', type=float, metavar='SHARE', help='share of pictures without a face')
    parser.add_argument(
        '--subset-heights', type=int, nargs=3, metavar=('EASY', 'MEDIUM', 'HARD'),
        help='least heights of the faces that count in a validation subset, in pixels',
    )  # fmt: skip
    root, counts = run_tool(make_wider_face, parser)
    print(f'{root}:')
    for split in ('train', 'val'):
        print(f'  {split}: {counts[f"{split}_images"]} images, {counts[f"{split}_faces"]} faces')
    subsets = ', '.join(f'{subset} {counts[subset]}' for subset in ('easy', 'medium', 'hard'))
    print(f'  val faces that count: {subsets}')


if __name__ == '__main__':
    main()
