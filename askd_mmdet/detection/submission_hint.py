"""What is probably wrong with a submission whose boxes are not x, y, width, height in pixels of the original pictures.

Few detections that match a face prove nothing: those of an untrained detector do not either. So a format is named only
where it is certain, or where the best detections fit the faces in it and do not as they are; and where hardly one as
much as touches a face, that is said without a guess.
"""

import numpy as np

from askd_mmdet.detection.wider_face_protocol import IOU_THRESHOLD, Faces, best_faces

# Detections of a picture that are looked at, no more than it has faces: those that a trained detector is sure of.
BEST = 5
# The share of all detections that lie below and right of their size where boxes are corners, and the least share of the
# best ones that fit a face where boxes are rescaled.
_CORNERS, _FITS = 0.99, 0.2
# The share of detections that touch a face by which even a poor detector is told from boxes of another world.
_TOUCH = 0.01
# How far, as a logarithm, sizes and places may disagree on the factor between two boxes, and how near 1 it is none.
_AGREES, _ONE = 0.15, 0.15
# Other pictures whose faces tell how many detections fit by chance.
_OTHERS = 5


def submission_hint(detections: dict[str, tuple[np.ndarray, np.ndarray]], truth: dict[str, Faces]) -> str | None:
    """A sentence on the format of the boxes where it is not as it should be, else None.

    Args:
        detections: By name, `event/stem`, boxes (N, 4), meant as x, y, width, height in pixels, and scores (N,). The
            `BEST` of each picture are enough.
        truth: The faces of the same pictures.
    """
    detections = {name: found for name, found in detections.items() if len(found[0]) and len(truth[name].boxes)}
    if not detections:
        return None
    everything = np.concatenate([boxes for boxes, _ in detections.values()])
    # Not 1, as boxes may reach over the border of their picture. No right submission keeps to a few pixels.
    if np.abs(everything).max() <= 2:
        return (
            f'no coordinate is above {np.abs(everything).max():.3g}: the boxes seem to be normalised; '
            'multiply x and width by the width of the picture, y and height by its height'
        )
    pairs = []
    for name, (boxes, scores) in detections.items():
        faces = truth[name].boxes[(truth[name].boxes[:, 2:] > 0).all(1)]
        if len(faces):
            pairs.append((boxes[np.argsort(-scores, kind='stable')[: min(BEST, len(faces))]], faces))
    if not pairs:
        return None
    # Two standard deviations at most of a share, as the detections of an untrained detector in a picture may be alike.
    margin = len(pairs) ** -0.5
    as_is = _share(_overlaps, pairs)
    turned = [(np.hstack([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]]), faces) for boxes, faces in pairs]
    corners = _share(_overlaps, turned)
    if (everything[:, 2:] >= everything[:, :2]).all(1).mean() >= _CORNERS and corners > as_is + margin:
        return (
            f'{corners:.0%} of the best detections lie on a face with their last two numbers as x2 and y2, and '
            f'{as_is:.0%} with them as width and height: the boxes seem to be corners; subtract x1 and y1'
        )
    others = range(1, min(len(pairs), _OTHERS + 1))
    if not others:
        return None  # nothing tells what is chance
    rescaled = _share(_is_rescaled, pairs)
    chance = np.mean(
        [
            _share(_is_rescaled, [(boxes, pairs[(i + shift) % len(pairs)][1]) for i, (boxes, _) in enumerate(pairs)])
            for shift in others
        ]
    )
    if rescaled > max(_FITS + chance + margin, 2 * as_is):
        return (
            f'{as_is:.0%} of the best detections lie on a face, and {rescaled:.0%} would after a change of scale: the '
            'boxes seem to be in pixels of a resized picture; divide them by its scale factor'
        )
    if len(everything) >= 1 / _TOUCH and (touching := _share(_touches, pairs)) < _TOUCH:
        return (
            f'{touching:.1%} of the best detections touch a face: the boxes are in another format, or of other '
            'pictures, or of a detector that has learnt nothing'
        )
    return None


def _share(fits, pairs):
    return float(np.concatenate([fits(boxes, faces) for boxes, faces in pairs]).mean())


def _overlaps(boxes, faces):
    """Which boxes match a face, (N,)."""
    return best_faces(boxes, faces)[1] >= IOU_THRESHOLD


def _touches(boxes, faces):
    """Which boxes have a pixel in common with a face, (N,)."""
    return best_faces(boxes, faces)[1] > 0


def _is_rescaled(boxes, faces):
    """Which boxes are a face times some factor across and some factor down, at least one of them not 1, (N,)."""
    with np.errstate(divide='ignore', invalid='ignore'):
        size = np.log(boxes[:, None, 2:] / faces[:, 2:])
        place = np.log((boxes[:, None, :2] + boxes[:, None, 2:] / 2) / (faces[:, :2] + faces[:, 2:] / 2))
    # What has no logarithm compares as False.
    fits = (np.abs(size - place) < _AGREES).all(2) & (np.abs(place) > _ONE).any(2)
    return fits.any(1)
