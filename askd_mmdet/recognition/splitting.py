"""An experiment from folders of identities: some to train on, pairs of the others to verify."""

import shutil
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np

from askd_mmdet.folders import replace_folder
from askd_mmdet.progress import track
from askd_mmdet.training.files import first_names, replace_text
from askd_mmdet.training.held_out import draw_pairs
from askd_mmdet.training.pictures import find_pictures
from askd_mmdet.training.settings import check_number


def split_identities(
    source: Path, dest: Path, held_out: int, pairs: int = 600, folds: int = 10, seed: int = 0
) -> tuple[int, int]:
    """Copy identities to `train/` and `verify/`, and write `pairs.txt`, folds of equally many pairs of both kinds.

    Pictures that are in no folder are left out and named on stderr.

    Args:
        source: Folder with a folder of pictures for each identity, at any depth.
        dest: New folder, which appears when it is complete.
        held_out: Identities to verify, drawn at random.
        pairs: How many, a multiple of twice the folds.
        folds: Of the protocol.
        seed: Another number, another split.

    Returns:
        How many identities there are to train on, and how many pairs of the others.

    Raises:
        FileExistsError: When the new folder is there.
        FileNotFoundError: When the source is not.
        ValueError: When there are too few identities or pairs, or names that no list of pairs can hold.
    """
    if not source.is_dir():
        raise FileNotFoundError(f'{source} is no folder')
    if dest.exists():
        raise FileExistsError(f'{dest} exists already; name a new folder')
    check_number('split', 'folds', folds, whole=True, at_least=2)
    check_number('split', 'pairs', pairs, whole=True, at_least=1)
    if pairs % (2 * folds):
        raise ValueError(f'found {pairs} pairs, expected a multiple of {2 * folds}: each fold has as many of each kind')
    names = find_pictures(source, print)
    if strange := [ascii(name) for name in names if not _is_listable(name)]:
        raise ValueError(
            f'a list of pairs cannot hold the names of {len(strange)} pictures, first {strange[0]}: they are no UTF-8, '
            'or have tabs or line breaks; rename them'
        )
    pictures, strays = defaultdict(list), []
    for name in names:
        person, _, picture = name.partition('/')
        (pictures[person] if picture else strays).append(name)
    if strays:
        print(
            f'warning: {len(strays)} pictures are of nobody, in no folder, and were left out: {first_names(strays)}',
            file=sys.stderr,
        )
    if not 2 <= held_out < len(pictures):
        raise ValueError(f'{source} has {len(pictures)} identities; hold out 2 to {len(pictures) - 1} of them')
    rng = np.random.default_rng(seed)
    others = sorted(rng.choice(sorted(pictures), held_out, replace=False).tolist())
    candidates = [name for person in others for name in pictures[person]]
    owners = np.repeat(np.arange(len(others)), [len(pictures[person]) for person in others])
    drawn = []
    for same, kind in ((True, 'one person'), (False, 'two persons')):
        indices = draw_pairs(owners, same, pairs // 2, rng)
        if len(indices) < pairs // 2:
            raise ValueError(f'the held-out identities have {len(indices)} pairs of {kind}, expected {pairs // 2}')
        drawn.append([(candidates[i], candidates[j]) for i, j in indices])

    in_fold = pairs // folds // 2
    lines = [
        f'verify/{a}\tverify/{b}\t{int(same)}\n'
        for fold in range(folds)
        for same, kind in zip((True, False), drawn)
        for a, b in kind[fold * in_fold : (fold + 1) * in_fold]
    ]
    with replace_folder(dest) as new:
        for person, files in track(pictures.items(), 'copying'):
            for name in files:
                copy = new / ('verify' if person in others else 'train') / name
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(source / name, copy)
        replace_text(new / 'pairs.txt', f'{folds}\t{in_fold}\n' + ''.join(lines))
    return len(pictures) - held_out, len(lines)


def _is_listable(name):
    return not any(character in '\t\r\n' or '\ud800' <= character <= '\udfff' for character in name)
