"""Print how similar the faces in two pictures are: the cosine of their embeddings, in [-1, 1]."""

import sys
from pathlib import Path

from embed_faces import build_embedder, network_parser


def main(arguments: list[str] | None = None):
    parser = network_parser(__doc__)
    parser.add_argument('a', type=Path, help='picture of an aligned face')
    parser.add_argument('b', type=Path, help='another one')
    parser.add_argument(
        '--threshold', type=float, help='also say "same" where the cosine is at least this, else "different"'
    )
    args = parser.parse_args(arguments)
    if args.threshold is not None and not -1 <= args.threshold <= 1:
        parser.error(f'--threshold is {args.threshold}, expected a cosine in [-1, 1]')
    try:
        cosine = build_embedder(args).compare(args.a, args.b)
    except (OSError, ValueError) as error:
        sys.exit(f'{parser.prog}: error: {error}')
    verdict = '' if args.threshold is None else ' same' if cosine >= args.threshold else ' different'
    print(f'{cosine:.4f}{verdict}')


if __name__ == '__main__':
    main()
