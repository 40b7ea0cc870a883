"""Split annotated pictures into a training and a held-out part, each picture in one, in WIDER FACE's layout.

For trials on part of WIDER FACE, or on pictures of one's own in its format. Every n-th picture of the annotation is
held out; the ground truth of the evaluation is cut to those.
"""

import argparse
import shutil
import sys
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np

from askd_mmdet.detection.wider_face_dataset import read_annotations
from askd_mmdet.detection.wider_face_protocol import SETTINGS, load_ground_truth
from askd_mmdet.toy.wider_face import write_annotations, write_ground_truth


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('images', type=Path, help='folder of the event folders, e.g. WIDER_val/images')
    parser.add_argument('annotation', type=Path, help='e.g. wider_face_split/wider_face_val_bbx_gt.txt')
    parser.add_argument('ground_truth', type=Path, help='folder of the four .mat files, e.g. eval_tools/ground_truth')
    parser.add_argument('out', type=Path, help='new folder for the two parts')
    parser.add_argument('--every', type=int, default=4, help='hold out every n-th picture (default: 4)')
    return parser


def split(images: Path, annotation: Path, ground_truth: Path, out: Path, every: int) -> dict[str, int]:
    """Write both parts; returns the number of pictures of each."""
    if out.exists():
        raise FileExistsError(f'{out} exists already; name a new folder')
    if every < 2:
        raise ValueError(f'found --every {every}, expected at least 2: else nothing is left to train on')
    truth = load_ground_truth(ground_truth)
    pictures = read_annotations(annotation)
    unknown = [path for path, *_ in pictures if path.rsplit('.', 1)[0] not in truth]
    if unknown:
        raise ValueError(
            f'{ground_truth} does not have {len(unknown)} pictures of {annotation}: {", ".join(unknown[:5])}; '
            'take both from one split'
        )

    doubled = [path for path, count in Counter(path for path, *_ in pictures).items() if count > 1]
    if doubled:
        raise ValueError(f'{annotation} has {len(doubled)} pictures more than once: {", ".join(doubled[:5])}')

    def counts(event, name, boxes):
        return dict(zip(SETTINGS, truth[f'{event}/{Path(name).stem}'].kept.T))

    parts = {'train': defaultdict(dict), 'val': defaultdict(dict)}
    for i, (path, boxes, attributes) in enumerate(pictures):
        part = 'train' if i % every else 'val'
        event, name = path.split('/')
        parts[part][event][name] = np.hstack([boxes, attributes])
        copy = out / f'WIDER_{part}/images' / path
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(images / path, copy)
    for part, annotations in parts.items():
        write_annotations(out / f'wider_face_split/wider_face_{part}_bbx_gt.txt', annotations)
    held_out = {event: {name: rows[:, :4] for name, rows in faces.items()} for event, faces in parts['val'].items()}
    write_ground_truth(out / 'eval_tools/ground_truth', held_out, counts)
    return {part: sum(map(len, annotations.values())) for part, annotations in parts.items()}


def main() -> int:
    parser = make_parser()
    args = parser.parse_args()
    try:
        sizes = split(**vars(args))
    except (OSError, ValueError) as error:
        print(f'{parser.prog}: error: {error}', file=sys.stderr)
        return 2
    print(f'{sizes["train"]} pictures to train on, {sizes["val"]} held out: {args.out}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
