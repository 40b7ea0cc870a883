"""Detections as COCO's tools, and with them most detectors, write them, made a WIDER FACE submission."""

import json
import math
from collections import defaultdict
from collections.abc import Callable, Collection, Hashable
from pathlib import Path, PurePosixPath

import numpy as np

from askd_mmdet.detection.submission import write_detections
from askd_mmdet.detection.wider_face_dataset import read_annotations
from askd_mmdet.training.files import first_names
from askd_mmdet.training.pictures import read_text


def coco_to_submission(
    results: Path,
    annotation: Path,
    submission: Path,
    ids: Path | None = None,
    categories: Collection[int] | None = None,
) -> dict[str, int]:
    """Write COCO results as a submission: a file for each picture that has a detection.

    Args:
        results: A list of `{"image_id": ..., "bbox": [x, y, width, height], "score": ..., "category_id": ...}`, in
            pixels. An image_id is the name of a picture, with or without ending and folders, or its number in the
            annotation from 0 (`img_id`).
        annotation: `wider_face_val_bbx_gt.txt`, the names of the pictures.
        submission: Its folder, new or empty.
        ids: A COCO annotation, if the image_ids are those of its images, whose file names it has.
        categories: The category_ids that mean a face; not needed where all detections are of one category.

    Returns:
        How many `images` got a file, with how many `detections`; how many image_ids were taken as `numbers`; how many
        detections of other categories were `left_out`.

    Raises:
        OSError: When a file cannot be read or written.
        ValueError: When a file is not what it should be, an image_id is none or several of the pictures, two are the
            same, or it is not said which of several categories mean a face.
    """
    if submission.exists() and any(submission.iterdir()):
        raise ValueError(f'{submission} holds files already; remove it, or name another folder')
    names = [name for name, _, _ in read_annotations(annotation)]
    detections = _read_detections(results)
    found = {category for _, category, _ in detections}
    if categories is None and len(found) > 1:
        raise ValueError(
            f'{results} has detections of the categories {_listed(found)}; name those of faces: --category'
        )
    chosen = [item for item in detections if categories is None or item[1] in categories]
    if not chosen:
        raise ValueError(f'{results} has no detection of a face; found those of the categories {_listed(found)}')
    rows = defaultdict(list)
    for image_id, _, row in chosen:
        rows[image_id].append(row)
    pictures = _pictures(rows, _finder(names, ids), results, ids or annotation)
    for image_id, own in rows.items():
        table = np.array(own, np.float64)
        name = str(PurePosixPath(pictures[image_id]).with_suffix(''))
        write_detections(submission, name, table[:, :4], table[:, 4])
    return dict(
        images=len(rows),
        detections=len(chosen),
        numbers=0 if ids else sum(isinstance(image_id, int) for image_id in rows),
        left_out=len(detections) - len(chosen),
    )


def _read_json(path):
    try:
        return json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise ValueError(f'{path} is no JSON file: {error}') from error


def _read_detections(path):
    """Image, category, and x, y, width, height and score of every detection."""
    content = _read_json(path)
    if not isinstance(content, list):
        raise ValueError(f'{path}: found {_excerpt(content)}, expected a list of detections, as COCO results are')
    detections = [_detection(item) for item in content]
    if None in detections:
        number = detections.index(None)
        raise ValueError(
            f'{path}: found {_excerpt(content[number])} as detection {number}, expected '
            '{"image_id": name or number, "bbox": [x, y, width, height], "score": number, "category_id": number}'
        )
    return detections


def _detection(item):
    try:
        image_id, category, row = item['image_id'], item.get('category_id'), [*item['bbox'], item['score']]
        whole = len(row) == 5 and all(type(value) in (int, float) and math.isfinite(value) for value in row)
    except (TypeError, KeyError, AttributeError, OverflowError):
        return None
    return (image_id, category, row) if whole and type(image_id) in (int, str) and _is_category(category) else None


def _is_category(value):
    return value is None or type(value) is int


def _finder(names: list[str], ids: Path | None) -> Callable[[Hashable], set[str]]:
    """What gives the pictures that an image_id may mean."""
    known = defaultdict(set)
    for name in names:
        path = PurePosixPath(name)
        for key in (name, str(path.with_suffix('')), path.name, path.stem):
            known[key].add(name)

    def named(text):
        parts = text.replace('\\', '/').split('/')
        return known.get('/'.join(parts[-2:])) or known.get(parts[-1], set())

    if ids:
        files = _read_ids(ids)
        return lambda image_id: named(files[image_id]) if image_id in files else set()

    def find(image_id):
        if isinstance(image_id, str):
            return named(image_id)
        # ultralytics makes a number of a name that consists of digits.
        numbered = {names[image_id]} if 0 <= image_id < len(names) else set()
        return numbered | named(str(image_id))

    return find


def _read_ids(path):
    """File names by id of a COCO annotation."""
    content = _read_json(path)
    try:
        pairs = [(image['id'], image['file_name']) for image in content['images']]
    except (TypeError, KeyError) as error:
        raise ValueError(f'{path} is no COCO annotation, whose "images" have "id" and "file_name"') from error
    if not all(type(image_id) in (int, str) and isinstance(name, str) for image_id, name in pairs):
        raise ValueError(f'{path}: expected images with an id, a number or a text, and a file_name, a text')
    files = dict(pairs)
    if len(files) < len(pairs):
        raise ValueError(f'{path} has {len(pairs)} images and {len(files)} different ids, expected one for each')
    return files


def _pictures(image_ids, find, results, source):
    """The picture of each image_id."""
    candidates = {image_id: find(image_id) for image_id in image_ids}
    if unknown := [repr(image_id) for image_id, names in candidates.items() if not names]:
        raise ValueError(
            f'{results} has {len(unknown)} image_ids that are no picture of {source}: {first_names(unknown)}; expected '
            'names of pictures or their numbers from 0, or the ids of a COCO annotation, named by --ids'
        )
    if several := [f'{i!r} ({" or ".join(sorted(names))})' for i, names in candidates.items() if len(names) > 1]:
        raise ValueError(
            f'{results} has {len(several)} image_ids that may be several pictures of {source}: {first_names(several)}; '
            'name a COCO annotation by --ids, or write names with their folders'
        )
    pictures = {image_id: next(iter(names)) for image_id, names in candidates.items()}
    owners = {}
    for image_id, name in pictures.items():
        if (other := owners.setdefault(name, image_id)) != image_id:
            raise ValueError(f'{results}: the image_ids {other!r} and {image_id!r} are both {name} of {source}')
    return pictures


def _listed(categories):
    return ', '.join(map(str, sorted(categories, key=str)))


def _excerpt(value):
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else f'{text[:80]}...'
