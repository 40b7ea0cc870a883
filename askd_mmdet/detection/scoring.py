"""The score of a WIDER FACE submission, whoever's detector made it."""

from pathlib import Path

import numpy as np

from askd_mmdet.detection.submission import iterate_submission, read_detections
from askd_mmdet.detection.submission_hint import BEST, submission_hint
from askd_mmdet.detection.wider_face_protocol import WiderFaceScore, load_ground_truth
from askd_mmdet.progress import track
from askd_mmdet.training.files import first_names


def score_submission(submission: Path, ground_truth: Path, ignore_unknown: bool = False) -> dict:
    """AP of a submission in %, a hint or None, and what was scored.

    Args:
        submission: Its folder.
        ground_truth: Folder of the official .mat files.
        ignore_unknown: Whether to leave out files of images that the ground truth does not have.

    Returns:
        `easy`, `medium`, `hard`; `hint`, see :func:`submission_hint`; the numbers of `images` and `detections`; the
        names of images that are `missing` and `unknown`.

    Raises:
        OSError, ValueError: When a file is missing or damaged, or of an unknown image.
    """
    score = WiderFaceScore(load_ground_truth(ground_truth))
    files = dict(iterate_submission(submission))
    unknown = [name for name in files if name not in score.ground_truth]
    if unknown and not ignore_unknown:
        raise ValueError(
            f'{submission} has {len(unknown)} files of images that {ground_truth} does not have: '
            f'{first_names(unknown)}; check that both are of one split, or leave them out by --ignore-unknown'
        )
    known = [name for name in files if name in score.ground_truth]
    best = {}
    for name in track(known, 'scoring'):
        boxes, scores = read_detections(files[name])
        score.add(name, boxes, scores)
        chosen = np.argsort(-scores, kind='stable')[:BEST]
        best[name] = boxes[chosen], scores[chosen]
    return dict(
        {setting: 100 * ap for setting, ap in score.average_precision().items()},
        hint=submission_hint(best, score.ground_truth),
        images=len(known),
        detections=sum(len(matches.scores) for matches in score.images.values()),
        missing=score.missing,
        unknown=unknown,
    )
