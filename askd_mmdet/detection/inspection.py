"""What is missing or damaged in a WIDER FACE download."""

import json
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from multiprocessing import Pool
from pathlib import Path

import numpy as np

from askd_mmdet.detection.wider_face_dataset import LAYOUT, read_annotations
from askd_mmdet.detection.wider_face_protocol import load_ground_truth
from askd_mmdet.progress import track
from askd_mmdet.training.files import replace_text
from askd_mmdet.training.pictures import picture_size, read_picture

OFFICIAL_IMAGES = dict(train=12_880, val=3_226)
SUBSETS = ('face', 'easy', 'medium', 'hard')


def check_picture(path: Path, fast: bool) -> tuple[tuple[int, int] | None, str]:
    """The size (width, height) of a picture in pixels, or None and what is wrong with it."""
    try:
        # The decoder of LoadPicture: what fails here fails in training.
        return picture_size(path) if fast else read_picture(path).shape[1::-1], ''
    except FileNotFoundError:
        return None, 'missing'
    except (OSError, ValueError) as error:
        return None, f'unreadable: {error}'


def check_pictures(folder: Path, images: list, fast: bool, workers: int) -> tuple[dict[str, list[str]], int]:
    """What is wrong with the pictures of an annotation, by kind, and how many faces reach outside theirs."""
    paths = [folder / name for name, _, _ in images]
    with Pool(max(workers, 1)) as pool:
        checks = pool.imap(partial(check_picture, fast=fast), paths, chunksize=8)
        found = list(track(checks, f'reading {folder}', len(paths)))
    problems, outside = defaultdict(list), 0
    for path, (_, boxes, _), (size, complaint) in zip(paths, images, found):
        if size:
            outside += int(((boxes[:, :2] < 0) | (boxes[:, :2] + boxes[:, 2:] > size)).any(1).sum())
        else:
            kind, _, reason = complaint.partition(': ')
            if kind == 'missing':
                reason = ', '.join(f'there is {other.name}' for other in spelled_otherwise(path))
            problems[f'{kind} pictures'].append(f'{path}{reason and ": " + reason}')
    return problems, outside


def spelled_otherwise(path: Path) -> list[Path]:
    """The files beside a missing one whose names differ in upper and lower case, or in their ending."""
    return sorted(other for other in path.parent.glob('*') if other.stem.lower() == path.stem.lower())


def compare_ground_truth(folder: Path, images: list) -> list[str]:
    """Where the protocol's .mat files are damaged or do not fit the images of the annotation."""
    try:
        truth = load_ground_truth(folder)
    except (OSError, ValueError) as error:
        return [str(error)]
    found = {name: count_faces(faces.boxes) for name, faces in truth.items()}
    # The ground truth knows no endings of files.
    files = {without_ending(name): name for name, _, _ in images}
    expected = {without_ending(name): count_faces(boxes) for name, boxes, _ in images}
    differences = []
    for name in sorted(found.keys() | expected.keys()):
        here, there = found.get(name, 'no such image'), expected.get(name, 'no such image')
        if here != there:
            differences.append(f'{folder}: {files.get(name, name)}: faces: {here}, in the annotation: {there}')
    return differences


def without_ending(name: str) -> str:
    return str(Path(name).with_suffix(''))


def doubled_images(images: list) -> list[str]:
    """The images of an annotation that the evaluation cannot tell apart, as they differ in their endings at most."""
    names = defaultdict(list)
    for name, _, _ in images:
        names[without_ending(name)].append(name)
    return [', '.join(doubled) for doubled in names.values() if len(doubled) > 1]


def count_faces(boxes: np.ndarray) -> int:
    """The number of boxes (N, 4) but for the zeros which in a .mat file stand for no face."""
    return int(boxes.any(1).sum())


def check_split(root: Path, split: str, fast: bool, workers: int) -> dict:
    """All there is to say about a split, 'train' or 'val'.

    Returns:
        `problems`, by kind what is missing or damaged; `notes`, what is odd and harms nothing; and the
        numbers of `images` and `faces`, where the annotation can be read.
    """
    folder = root / f'WIDER_{split}/images'
    annotation = root / f'wider_face_split/wider_face_{split}_bbx_gt.txt'
    ground_truth = [root / f'eval_tools/ground_truth/wider_{name}_val.mat' for name in SUBSETS if split == 'val']
    absent = [str(path) for path in (folder, annotation, *ground_truth) if not path.exists()]
    problems = {'missing files and folders': absent} if absent else {}
    report = dict(problems=problems, notes=[])
    if not annotation.exists():
        return report
    try:
        images = read_annotations(annotation)
    except ValueError as error:
        problems['malformed annotation'] = [str(error)]
        return report

    boxes = np.concatenate([np.empty((0, 4)), *(boxes for _, boxes, _ in images)])
    report.update(images=len(images), faces=len(boxes))
    if len(images) != OFFICIAL_IMAGES[split]:
        report['notes'].append(f'{len(images)} images; the official download has {OFFICIAL_IMAGES[split]}')
    if without_size := int((boxes[:, 2:] <= 0).any(1).sum()):
        report['notes'].append(f'{without_size} faces without width or height, which the data set leaves out')
    if doubled := doubled_images(images):
        problems['images that come more than once in the annotation'] = doubled
    if folder.exists():
        found, outside = check_pictures(folder, images, fast, workers)
        problems.update(found)
        if outside:
            report['notes'].append(f'{outside} faces that reach outside their pictures')
    if ground_truth and all(path.exists() for path in ground_truth):
        differences = compare_ground_truth(ground_truth[0].parent, images)
        if differences:
            problems['ground truth that does not fit the annotation'] = differences
    return report


def describe(split: str, report: dict, show: int) -> str:
    """The report of a split in words, with the first `show` of each problem."""
    lines = [f'{split}: {report.get("images", "?")} images, {report.get("faces", "?")} faces']
    lines += [f'  note: {note}' for note in report['notes']]
    for kind, found in report['problems'].items():
        lines.append(f'  {len(found)} {kind}:')
        lines += [f'    {line}' for line in found[:show]]
        if len(found) > show:
            lines.append(f'    ... and {len(found) - show} more (--json lists all)')
    return '\n'.join(lines)


def inspect_wider_face(
    root: Path, splits: Sequence[str], fast: bool, workers: int, show: int, path: Path | None
) -> tuple[str, bool]:
    """Look at all there is in a download: a report in words, and whether all is well.

    Args:
        root: The folder of the download.
        splits: Of 'train' and 'val'.
        fast: Whether to read only the header of each picture.
        workers: Processes that read.
        show: How many of each problem the report names.
        path: Also write everything that was found to this JSON file.
    """
    reports = {split: check_split(root, split, fast, workers) for split in splits}
    lines = [describe(split, report, show) for split, report in reports.items()]
    if path:
        replace_text(path, json.dumps(reports, indent=2))
    problems = {kind for report in reports.values() for kind in report['problems']}
    if 'missing files and folders' in problems:
        lines.append(f'\nThe files should lie as\n{LAYOUT}')
    return '\n'.join(lines), not problems
