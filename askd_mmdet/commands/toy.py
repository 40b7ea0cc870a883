"""Make a small data set from pictures that ship with scikit-image, without a download, in the layout of the real one.

Without options it is the one that the configs in askd_mmdet::toy/ are for.
"""

import argparse
from pathlib import Path

# For every set its options: type, names of the values (1: a number), what it is.
SETS = {
    'wider_face': {
        'train-images': (int, 1, 'training pictures'),
        'val-images': (int, 1, 'validation pictures'),
        'size': (int, ('HEIGHT', 'WIDTH'), 'of the pictures, in pixels'),
        'faces-per-image': (int, ('LOW', 'HIGH'), 'faces in a picture that has any, and as many non-faces'),
        'face-sizes': (int, ('LOW', 'HIGH'), 'heights of the faces, in pixels'),
        'without-faces': (float, 1, 'share of pictures without a face'),
        'subset-heights': (
            int,
            ('EASY', 'MEDIUM', 'HARD'),
            'least heights of the faces that count in a validation subset, in pixels',
        ),
    },
    'faces': {
        'train-identities': (int, 1, 'persons to train on'),
        'train-pictures': (int, 1, 'training pictures of each person'),
        'validation-identities': (int, 1, 'other persons, whom the pairs, the probes and the gallery show'),
        'pairs': (int, 1, 'verification pairs, a multiple of 20; half of them show one person'),
        'probes': (int, 1, 'pictures to identify'),
        'gallery': (int, 1, 'pictures of the same persons to find'),
        'distractors': (int, 1, 'pictures of other persons, not to be found'),
        'size': (int, 1, 'height and width of the pictures, in pixels'),
    },
    'pictures': {
        'train-pictures': (int, 1, 'training pictures of each class'),
        'val-pictures': (int, 1, 'validation pictures of each class'),
        'size': (int, 1, 'height and width of the pictures, in pixels'),
    },
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    sets = parser.add_subparsers(dest='set', metavar='SET', required=True, help=', '.join(SETS))
    for name, options in SETS.items():
        # What is not given keeps the default of the function that makes the set.
        one = sets.add_parser(name, argument_default=argparse.SUPPRESS)
        root = Path(f'data/toy_{name}')
        one.add_argument('root', nargs='?', type=Path, default=root, help='folder to write (default: %(default)s)')
        one.add_argument('--force', action='store_true', help='replace a toy set made with other arguments')
        one.add_argument('--seed', type=int, metavar='N', help='another number, other pictures')
        for option, (kind, values, text) in options.items():
            how = dict(metavar='N') if values == 1 else dict(nargs=len(values), metavar=values)
            one.add_argument(f'--{option}', type=kind, help=text, **how)


def run(args: argparse.Namespace) -> None:
    from askd_mmdet.toy import MAKERS

    options = vars(args)
    name = options.pop('set')
    root = options.pop('root')
    counts = MAKERS[name](root, **options)
    made = ', '.join(f'{number} {what}' for what, number in counts.items()).replace('_', ' ')
    print(f'{root}: {made}')
