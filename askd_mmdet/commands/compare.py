"""Print how similar the faces in two pictures are: the cosine of their embeddings, in [-1, 1]."""

import argparse
from pathlib import Path

from askd_mmdet.arguments import add_network


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_network(parser)
    parser.add_argument('a', type=Path, help='picture of an aligned face')
    parser.add_argument('b', type=Path, help='another one')
    parser.add_argument(
        '--threshold', type=float, help='also say "same" where the cosine is at least this, else "different"'
    )


def run(args: argparse.Namespace) -> None:
    from askd_mmdet.analysis.networks import build_embedder

    if args.threshold is not None and not -1 <= args.threshold <= 1:
        raise ValueError(f'--threshold is {args.threshold}, expected a cosine in [-1, 1]')
    cosine = build_embedder(args).compare(args.a, args.b)
    verdict = '' if args.threshold is None else ' same' if cosine >= args.threshold else ' different'
    print(f'{cosine:.4f}{verdict}')
