"""Convert checkpoints of the authors' code (teaching-where-to-look) to ours, or back with --back.

To ours:  convert_authors_checkpoint.py last_net.ckpt teacher.pth --margin last_margin.ckpt
Back:     convert_authors_checkpoint.py teacher.pth last_net.ckpt --margin last_margin.ckpt --back
"""

import argparse
import os
import sys
from pathlib import Path

import torch

from askd_mmdet.recognition.authors import from_authors, to_authors
from askd_mmdet.training import read_checkpoint


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('source', type=Path, help='*_net.ckpt of the authors, or with --back a checkpoint of ours')
    parser.add_argument('target', type=Path, help='file to write')
    parser.add_argument(
        '--margin', type=Path, help="*_margin.ckpt, the ArcFace head's weights: read, or with --back written"
    )
    parser.add_argument('--back', action='store_true', help="from ours to the authors' files")
    return parser.parse_args()


def save(content: dict, path: Path) -> None:
    """Write a file that is complete or not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f'{path.name}.part')
    torch.save(content, part)
    os.replace(part, path)
    print(f'wrote {path}')


def main():
    args = parse_args()
    if args.back:
        net, margin = to_authors(read_checkpoint(args.source), str(args.source))
        save(net, args.target)
        if margin and args.margin:
            save(margin, args.margin)
        elif margin:
            print('left out the weights of the head; name a file for them with --margin')
        elif args.margin:
            print(f'{args.source} has no head: wrote no {args.margin}')
        return
    margin = read_checkpoint(args.margin) if args.margin else None
    weights = from_authors(read_checkpoint(args.source), margin, str(args.source))
    save(dict(state_dict=weights), args.target)
    if margin:
        print(f'set model.head.num_classes={len(weights["head.norm_product.weight"])} in the config')
    else:
        print('without a head (no --margin): set model.head=None in the config')


if __name__ == '__main__':
    try:
        main()
    except (FileNotFoundError, ValueError) as error:
        sys.exit(f'error: {error}')
