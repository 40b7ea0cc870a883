"""Make a face recognition experiment from folders of identities: some to train on, pairs of the others to verify.

Copies SOURCE's identities to DEST/train and DEST/verify and writes DEST/pairs.txt: folds of equally many pairs of one
person and of two. FaceFolderDataset and PairListDataset read them.
"""

import argparse
import shutil
from collections import defaultdict
from pathlib import Path

import numpy as np
from rich.progress import track

from askd_mmdet.training.files import replace_text
from askd_mmdet.training.held_out import draw_pairs
from askd_mmdet.training.pictures import find_pictures


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('source', type=Path, help='folder with a folder of pictures for each identity')
    parser.add_argument('dest', type=Path, help='new folder')
    parser.add_argument(
        '--held-out', type=int, required=True, metavar='N', help='identities to verify, drawn at random'
    )
    parser.add_argument('--pairs', type=int, default=600, help='pairs to verify (default: %(default)s)')
    parser.add_argument('--folds', type=int, default=10, help='folds of the protocol (default: %(default)s)')
    parser.add_argument('--seed', type=int, default=0, help='another number, another split (default: %(default)s)')
    args = parser.parse_args()
    if not args.source.is_dir():
        parser.error(f'{args.source} is no folder')
    if args.dest.exists():
        parser.error(f'{args.dest} exists already; name a new folder')
    if args.pairs % (2 * args.folds):
        parser.error(
            f'--pairs {args.pairs} is no multiple of {2 * args.folds}: each fold has as many pairs of each kind'
        )
    return parser, args


def main():
    parser, args = parse_args()
    pictures = defaultdict(list)
    for name in find_pictures(args.source, print):
        if name.count('/') == 1:
            pictures[name.split('/')[0]].append(args.source / name)
    if not 2 <= args.held_out < len(pictures):
        parser.error(f'{args.source} has {len(pictures)} identities; hold out 2 to {len(pictures) - 1} of them')
    rng = np.random.default_rng(args.seed)
    held_out = sorted(rng.choice(sorted(pictures), args.held_out, replace=False).tolist())
    candidates = [path for name in held_out for path in pictures[name]]
    owners = np.repeat(np.arange(len(held_out)), [len(pictures[name]) for name in held_out])
    pairs = []
    for same, kind in ((True, 'one person'), (False, 'two persons')):
        drawn = draw_pairs(owners, same, args.pairs // 2, rng)
        if len(drawn) < args.pairs // 2:
            parser.error(f'the held-out identities have {len(drawn)} pairs of {kind}')
        pairs.append([(candidates[i], candidates[j]) for i, j in drawn])

    for name, files in track(pictures.items(), 'copying'):
        folder = args.dest / ('verify' if name in held_out else 'train') / name
        folder.mkdir(parents=True)
        for path in files:
            shutil.copy(path, folder)
    in_fold = args.pairs // args.folds // 2
    lines = [
        f'{a.parent.name}/{a.name}\t{b.parent.name}/{b.name}\t{int(same)}\n'
        for fold in range(args.folds)
        for same, kind in zip((True, False), pairs)
        for a, b in kind[fold * in_fold : (fold + 1) * in_fold]
    ]
    replace_text(args.dest / 'pairs.txt', ''.join(lines))
    print(f'{args.dest}: {len(pictures) - args.held_out} identities to train on, {len(lines)} pairs of the others')


if __name__ == '__main__':
    main()
