"""Divide data of one's own into a part to train on and one to test, each picture in one of them."""

import argparse
import shutil
from collections import Counter, defaultdict
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    kinds = parser.add_subparsers(dest='kind', metavar='KIND', required=True)
    identities = kinds.add_parser(
        'identities',
        help='folders of people: some to train on, pairs of the others to verify',
        description="Copies SOURCE's identities to DEST/train and DEST/verify and writes DEST/pairs.txt, folds of "
        'equally many pairs of one person and of two, for askd_mmdet::recognition/arcface_ir50-cbam_people*.',
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
        description='Writes both parts in the layout of the download; the ground truth of the evaluation is cut to '
        'what is held out.',
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
    sizes = split_wider_face(**options)
    print(f'{sizes["train"]} pictures to train on, {sizes["val"]} held out: {args.out}')


def split_wider_face(images: Path, annotation: Path, ground_truth: Path, out: Path, every: int) -> dict[str, int]:
    """Write both parts; returns the number of pictures of each."""
    import numpy as np

    from askd_mmdet.detection.wider_face_dataset import read_annotations
    from askd_mmdet.detection.wider_face_protocol import SETTINGS, load_ground_truth
    from askd_mmdet.folders import replace_folder
    from askd_mmdet.progress import track
    from askd_mmdet.toy.wider_face import write_annotations, write_ground_truth
    from askd_mmdet.training.files import first_names

    if out.exists():
        raise FileExistsError(f'{out} exists already; name a new folder')
    if every < 2:
        raise ValueError(f'found --every {every}, expected at least 2: else nothing is left to train on')
    truth = load_ground_truth(ground_truth)
    pictures = read_annotations(annotation)
    unknown = [path for path, *_ in pictures if path.rsplit('.', 1)[0] not in truth]
    if unknown:
        raise ValueError(
            f'{ground_truth} does not have {len(unknown)} pictures of {annotation}: {first_names(unknown)}; '
            'take both from one split'
        )

    doubled = [path for path, count in Counter(path for path, *_ in pictures).items() if count > 1]
    if doubled:
        raise ValueError(f'{annotation} has {len(doubled)} pictures more than once: {first_names(doubled)}')

    def counts(event, name, boxes):
        return dict(zip(SETTINGS, truth[f'{event}/{Path(name).stem}'].kept.T))

    parts = {'train': defaultdict(dict), 'val': defaultdict(dict)}
    with replace_folder(out) as new:
        for i, (path, boxes, attributes) in enumerate(track(pictures, 'copying')):
            part = 'train' if i % every else 'val'
            event, name = path.split('/')
            parts[part][event][name] = np.hstack([boxes, attributes])
            copy = new / f'WIDER_{part}/images' / path
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(images / path, copy)
        for part, annotations in parts.items():
            write_annotations(new / f'wider_face_split/wider_face_{part}_bbx_gt.txt', annotations)
        held_out = {event: {name: rows[:, :4] for name, rows in faces.items()} for event, faces in parts['val'].items()}
        write_ground_truth(new / 'eval_tools/ground_truth', held_out, counts)
    return {part: sum(map(len, annotations.values())) for part, annotations in parts.items()}
