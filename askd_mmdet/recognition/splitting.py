"""An experiment from folders of identities: some to train on, pairs of the others to verify."""

import shutil
from collections import defaultdict
from pathlib import Path

import numpy as np

from askd_mmdet.progress import track
from askd_mmdet.training.files import replace_text
from askd_mmdet.training.held_out import draw_pairs
from askd_mmdet.training.pictures import find_pictures


def split_identities(
    source: Path, dest: Path, held_out: int, pairs: int = 600, folds: int = 10, seed: int = 0
) -> tuple[int, int]:
    """Copy identities to `train/` and `verify/`, and write `pairs.txt`, folds of equally many pairs of both kinds.

    Args:
        source: Folder with a folder of pictures for each identity.
        dest: New folder.
        held_out: Identities to verify, drawn at random.
        pairs: How many, a multiple of twice the folds.
        folds: Of the protocol.
        seed: Another number, another split.

    Returns:
        How many identities there are to train on, and how many pairs of the others.

    Raises:
        FileExistsError: When the new folder is there.
        FileNotFoundError: When the source is not.
        ValueError: When there are too few identities or pairs.
    """
    if not source.is_dir():
        raise FileNotFoundError(f'{source} is no folder')
    if dest.exists():
        raise FileExistsError(f'{dest} exists already; name a new folder')
    if pairs % (2 * folds):
        raise ValueError(f'found {pairs} pairs, expected a multiple of {2 * folds}: each fold has as many of each kind')
    pictures = defaultdict(list)
    for name in find_pictures(source, print):
        if name.count('/') == 1:
            pictures[name.split('/')[0]].append(source / name)
    if not 2 <= held_out < len(pictures):
        raise ValueError(f'{source} has {len(pictures)} identities; hold out 2 to {len(pictures) - 1} of them')
    rng = np.random.default_rng(seed)
    others = sorted(rng.choice(sorted(pictures), held_out, replace=False).tolist())
    candidates = [path for name in others for path in pictures[name]]
    owners = np.repeat(np.arange(len(others)), [len(pictures[name]) for name in others])
    drawn = []
    for same, kind in ((True, 'one person'), (False, 'two persons')):
        indices = draw_pairs(owners, same, pairs // 2, rng)
        if len(indices) < pairs // 2:
            raise ValueError(f'the held-out identities have {len(indices)} pairs of {kind}, expected {pairs // 2}')
        drawn.append([(candidates[i], candidates[j]) for i, j in indices])

    for name, files in track(pictures.items(), 'copying'):
        folder = dest / ('verify' if name in others else 'train') / name
        folder.mkdir(parents=True)
        for path in files:
            shutil.copy(path, folder)
    in_fold = pairs // folds // 2
    lines = [
        f'{_name(a)}\t{_name(b)}\t{int(same)}\n'
        for fold in range(folds)
        for same, kind in zip((True, False), drawn)
        for a, b in kind[fold * in_fold : (fold + 1) * in_fold]
    ]
    replace_text(dest / 'pairs.txt', ''.join(lines))
    return len(pictures) - held_out, len(lines)


def _name(path):
    """Of a picture's copy, relative to the list of pairs."""
    return f'verify/{path.parent.name}/{path.name}'
