"""A small face recognition set: many persons with several pictures each, from scikit-image's wheel.

Nothing is downloaded. A person is a blend of two or three of the 100 real faces of lfw_subset.npy,
which are 25 pixels wide, plus fine details of its own: brows, wrinkles, stubble, freckles, moles,
glasses. The blend is most of what low resolution leaves of a person, and persons who share real
faces look alike there; the details tell them apart at high resolution.
"""

import pickle
import struct
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np

from askd_mmdet.progress import track
from askd_mmdet.toy.folder import check, check_whole, encode_jpeg, write_folder
from askd_mmdet.toy.wider_face import background, event_of, patches, random_crop, resize

# The real faces that persons are blended of, as indices in lfw_subset.npy, by group of persons.
BASE_FACES = {'train': range(60), 'validation': range(60, 85), 'distractor': range(85, 100)}
PURPOSES = ('train', 'verify', 'probe', 'gallery', 'distractor')
FOLDS = 10

_SIDE = 112
_CENTER = _SIDE / 2
# From a patch to the canvas: the mean face has its middle at column 11, its hair line at row 0 and
# its chin at row 24. Then the eyes are at (36, 39) and (76, 39), the mouth is at (56, 80).
_SCALE = 4.4
_TO_CANVAS = np.array([[_SCALE, 0, _CENTER - 10.5 * _SCALE], [0, _SCALE, 5]])
_EYE_X, _EYE_Y, _BROW_Y, _MOUTH_Y = 20, 39, 31, 80
# The share of the group's mean face in a person: the more, the more alike they are at low resolution.
_MEAN_FACE = 0.6
# Half axes of the oval that a picture shows of a person: corners would show somebody's old background.
_OVAL_X, _OVAL_Y = 44, 58

_MAGIC = 0xCED7230A
# To be raised when the same arguments come to give other files.
_GENERATOR = 'face identities 1'


@dataclass(frozen=True)
class Identity:
    """A person.

    Attributes:
        faces: Of which real faces it is blended, as indices in lfw_subset.npy; the mean face of its
            group is in it, too.
        portrait: float32, (112, 112), grey levels around 128: the person without anything that
            varies from picture to picture.
    """

    faces: tuple[int, ...]
    portrait: np.ndarray


@lru_cache(maxsize=512)
def make_identity(group: str, index: int, seed: int) -> Identity:
    """Person `index` of a group, which depends on no other person.

    Args:
        group: A key of `BASE_FACES`; no real face is in persons of two groups.
        index: From 0.
        seed: From 0.

    Example:
        >>> make_identity('train', 0, seed=0).portrait.shape
        (112, 112)
    """
    rng = np.random.default_rng([seed, 0, list(BASE_FACES).index(group), index])
    faces = rng.choice(BASE_FACES[group], rng.integers(2, 4), replace=False)
    sources = patches()[BASE_FACES[group]]
    sources = (sources - sources.mean((1, 2), keepdims=True)) / sources.std((1, 2), keepdims=True)
    weights = np.full(len(sources), _MEAN_FACE / len(sources))
    weights[faces - BASE_FACES[group][0]] += (1 - _MEAN_FACE) * rng.dirichlet(np.full(len(faces), 2))
    blend = np.tensordot(weights, sources, 1).astype(np.float32)
    blend = cv2.warpAffine(
        blend, _TO_CANVAS, (_SIDE, _SIDE), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )  # fmt: skip
    x, y = _grid()
    blend = _remap(blend, x + _smooth(rng, 1.5), y + _smooth(rng, 1.5))
    blend = (blend - blend.mean()) / blend.std()
    ink = _ink(rng)
    # Skin is brighter beside a line, so that the details leave the mean brightness as it is.
    portrait = 128 + 36 * blend - 1.5 * (ink - cv2.GaussianBlur(ink, (0, 0), 1.5))
    return Identity(tuple(faces.tolist()), portrait)


def _ink(rng):
    """The fine details of a person: how many grey levels they darken the portrait by."""
    ink = np.zeros((_SIDE, _SIDE), np.float32)
    both = np.array([-1, 1])

    # Eyebrows: hairs along an arch.
    t = rng.uniform(0, 1, (rng.integers(25, 70), 1))
    y = _BROW_Y + rng.uniform(-3, 3) - rng.uniform(0, 6) * np.sin(np.pi * t) + rng.uniform(0.5, 2.5) * _normal(rng, t)
    hairs = _hairs(rng, 8 + rng.uniform(18, 26) * t, y, length=rng.uniform(3, 7), angle=rng.uniform(-1.4, 1.4))
    for side in both:
        _stroke(ink, hairs * (side, 1) + (_CENTER, 0), rng.uniform(50, 90))

    # Wrinkles on the forehead, and the fold from the nose to the corner of the mouth.
    t = np.linspace(-1, 1, 24)
    spacing, wave, waves, phase = rng.uniform((3, 0, 1, 0), (6, 2, 4, 6))
    rows = 24 - spacing * np.arange(rng.integers(0, 5))[:, None]
    wrinkles = np.stack(np.broadcast_arrays(28 * t, rows + wave * np.sin(waves * t + phase)), -1)
    _stroke(ink, wrinkles + (_CENTER, 0), rng.uniform(30, 60))
    reach, bend, length = rng.uniform((4, -4, 12), (14, 4, 26))
    t = np.linspace(0, 1, 16)
    fold = np.stack([12 + reach * t + bend * np.sin(np.pi * t), 62 + length * t], -1)
    _stroke(ink, fold * np.stack([both, [1, 1]], -1)[:, None] + (_CENTER, 0), rng.uniform(0, 60))

    # Stubble, on every second person: short hairs below the nose, but for the mouth.
    x, y = rng.uniform((-34, 66), (34, 108), (rng.integers(100, 500) * rng.integers(0, 2), 2)).T[..., None]
    bare = np.hypot(x / 17, (y - _MOUTH_Y) / 6) < 1
    hairs = _hairs(rng, x[~bare, None], y[~bare, None], length=rng.uniform(1, 4), angle=rng.uniform(0, np.pi))
    _stroke(ink, hairs + (_CENTER, 0), rng.uniform(30, 60))

    # Freckles, on every second person, and moles.
    freckles = rng.normal((_CENTER, 56), (18, 9), (rng.integers(30, 130) * rng.integers(0, 2), 2))
    _dots(ink, freckles, rng.uniform(0.6, 1.2), rng.uniform(25, 50))
    moles = rng.uniform((24, 12), (88, 100), (rng.integers(0, 5), 2))
    _dots(ink, moles, rng.uniform(1, 1.8), rng.uniform(60, 100))

    # Glasses, on every third person: from round to rectangular, of dark or of bright metal.
    angle = np.linspace(0, 2 * np.pi, 64)
    width, height, roundness, thickness, color = rng.uniform((11, 8, 0.4, 1, 60), (16, 14, 1, 2.5, 110))
    rim = np.stack([np.cos(angle), np.sin(angle)], -1)
    rim = np.sign(rim) * np.abs(rim) ** roundness * (width, height) + (_EYE_X, _EYE_Y + 1)
    bridge = np.array([(_EYE_X - width, _EYE_Y - 1), (0, _EYE_Y - 2)])
    temple = np.array([(_EYE_X + width, _EYE_Y - 2), (_OVAL_X, _EYE_Y - 4)])
    if rng.random() < 1 / 3:
        color *= rng.choice((1, -0.7))
        for line in (rim, bridge, temple):
            _stroke(ink, line * np.stack([both, [1, 1]], -1)[:, None] + (_CENTER, 0), color, int(thickness))
    return ink


def _normal(rng, like):
    return rng.normal(size=np.shape(like))


def _hairs(rng, x, y, length, angle):
    """Straight lines (N, 2, 2) from x and y, (N, 1), in about one direction, in radians."""
    angle = angle + 0.2 * _normal(rng, x)
    ends = np.concatenate([x + length * np.cos(angle), y + length * np.sin(angle)], 1)
    return np.stack([np.concatenate([x, y], 1), ends], 1)


def _fixed(points):
    """Pixels with four binary digits after the point, which OpenCV draws with `shift=4`."""
    return np.rint(np.asarray(points) * 16).astype(np.int32)


def _stroke(ink, lines, strength, thickness=1):
    mask = np.zeros(ink.shape, np.uint8)
    cv2.polylines(mask, list(_fixed(lines)), False, 255, thickness, cv2.LINE_AA, shift=4)
    ink += strength / 255 * mask


def _dots(ink, centers, radius, strength):
    mask = np.zeros(ink.shape, np.uint8)
    for center in _fixed(centers):
        cv2.circle(mask, center.tolist(), round(radius * 16), 255, -1, cv2.LINE_AA, shift=4)
    ink += strength / 255 * mask


def _grid():
    return np.meshgrid(np.arange(_SIDE, dtype=np.float32), np.arange(_SIDE, dtype=np.float32))


def _smooth(rng, amplitude):
    """A smooth random field, (112, 112), of that standard deviation at its knots 16 pixels apart."""
    knots = rng.normal(0, amplitude, (7, 7)).astype(np.float32)
    return cv2.resize(knots, (_SIDE, _SIDE), interpolation=cv2.INTER_CUBIC)


def _remap(image, x, y):
    maps = x.astype(np.float32), y.astype(np.float32)
    return cv2.remap(image, *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def draw_face(identity: Identity, purpose: str, number: int, seed: int) -> np.ndarray:
    """A picture of a person: its pose, expression, light, background and flaws are its own.

    Args:
        identity: Whom it shows.
        purpose: One of `PURPOSES`; those of validation share no background with training.
        number: The picture's, from 0.
        seed: From 0.

    Returns:
        uint8, (112, 112), grey: colour at so few pixels would give a person away at any resolution.
    """
    rng = np.random.default_rng([seed, 1, PURPOSES.index(purpose), number])
    x, y = _pose(rng)
    face = _remap(identity.portrait, x, y)

    direction = rng.uniform(0, 2 * np.pi)
    across = ((np.stack(_grid(), -1) - _CENTER) @ (np.cos(direction), np.sin(direction))) / _CENTER
    contrast, gradient, brightness = rng.uniform((0.7, 0, 115), (1.2, 0.3, 140))
    face = (brightness + contrast * (face - 128)) * (1 + gradient * across)

    side = 'train' if purpose == 'train' else 'val'
    backdrop, thing = (
        random_crop(rng, background(event_of(int(rng.integers(11))), side), (_SIDE, _SIDE)) for _ in range(2)
    )
    radius = np.hypot((x - _CENTER) / _OVAL_X, (y - _CENTER) / _OVAL_Y)
    backdrop = 128 + (backdrop - 128.0) / 2
    image = backdrop + np.clip((1 - radius) / 0.08, 0, 1) * (face - backdrop)
    if rng.random() < 0.15:
        _hold_before(rng, image, thing)
    image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.2, 0.7)) + rng.normal(0, rng.uniform(1, 6), image.shape)
    return image.round().clip(0, 255).astype(np.uint8)


def _pose(rng):
    """For every pixel of a picture, where it is in the portrait: x and y, each (112, 112)."""
    x, y = (axis - _CENTER for axis in _grid())
    angle, shear, scale_x, scale_y = rng.normal(0, (0.08, 0.06, 0.04, 0.04))
    shift_x, shift_y = rng.uniform(-4, 4, 2)
    cos, sin = np.cos(angle), np.sin(angle)
    x, y = (
        _CENTER + shift_x + (1 + scale_x) * (cos * x - sin * y) + shear * y + _smooth(rng, 1),
        _CENTER + shift_y + (1 + scale_y) * (sin * x + cos * y) + _smooth(rng, 1),
    )
    # The expression: the mouth opens or closes and widens or narrows, the brows rise or sink.
    mouth_x, mouth_y = (x - _CENTER) / 18, (y - _MOUTH_Y) / 10
    at_mouth = np.exp(-(mouth_x**2) - mouth_y**2)
    wide, open_, rise = rng.normal(0, (2.5, 2.5, 1.5))
    return x + wide * mouth_x * at_mouth, y + open_ * mouth_y * at_mouth + rise * np.exp(-(((y - _BROW_Y) / 8) ** 2))


def _hold_before(rng, image, thing):
    """Cover a part of a picture, in place, by an ellipse of another."""
    x, y = _grid()
    center_x, center_y, half_x, half_y = rng.uniform((0, 0, 10, 10), (_SIDE, _SIDE, 26, 26))
    radius = np.hypot((x - center_x) / half_x, (y - center_y) / half_y)
    image += np.clip((1 - radius) / 0.1, 0, 1) * (thing - image)


def make_face_identities(
    root: str | Path,
    train_identities: int = 160,
    train_pictures: int = 12,
    validation_identities: int = 60,
    pairs: int = 600,
    probes: int = 240,
    gallery: int = 180,
    distractors: int = 600,
    size: int = 112,
    seed: int = 0,
    force: bool = False,
) -> dict[str, int]:
    """Write a toy of CASIA, AgeDB-30 and TinyFace in their file formats, where there is none yet.

    ``train.rec`` and ``train.idx``, ``verify.bin``,
    ``{Probe,Gallery_Match,Gallery_Distractor}/*.jpg``, and ``toy.json``, which holds the arguments.
    The same arguments give the same bytes. The folder appears when it is complete, and not before.

    Args:
        root: Folder to write; it must not exist, be empty, or hold a toy set.
        train_identities: Number of persons to train on.
        train_pictures: Number of pictures of each of them.
        validation_identities: Number of other persons, blended of other real faces, whom the pairs,
            the probes and the gallery show in pictures of their own.
        pairs: Number of verification pairs, a multiple of 20: ten folds, one after another, and in
            each the pairs of one person before as many pairs of two.
        probes: Number of pictures in ``Probe``; the persons take turns, as in ``Gallery_Match``.
        gallery: Number of pictures in ``Gallery_Match``.
        distractors: Number of pictures in ``Gallery_Distractor``, each of another person who is
            neither in training nor in validation.
        size: Height and width of the pictures in pixels.
        seed: Any integer from 0.
        force: Replace a toy set that was made with other arguments.

    Returns:
        How many there are: ``train_identities``, ``train_images``, ``validation_identities``,
        ``pairs``, ``probes``, ``gallery`` and ``distractors``.

    Raises:
        ValueError: When an argument is out of range.
        FileExistsError: When root holds anything else, or a toy set with other arguments and
            `force` is not set.
        FileNotFoundError: When scikit-image lacks a picture.
    """
    counts = dict(
        train_identities=train_identities,
        train_pictures=train_pictures,
        validation_identities=validation_identities,
        pairs=pairs,
        probes=probes,
        gallery=gallery,
        distractors=distractors,
        size=size,
        seed=seed,
    )
    check_whole(**counts)
    mates = min(probes, validation_identities)
    check(
        (train_identities >= 1, 'train_identities', train_identities, 'at least 1'),
        (train_pictures >= 1, 'train_pictures', train_pictures, 'at least 1'),
        (validation_identities >= 2, 'validation_identities', validation_identities, 'at least 2'),
        (pairs >= 20 and pairs % 20 == 0, 'pairs', pairs, 'a multiple of 20: ten folds, half of each of one person'),
        (probes >= 1, 'probes', probes, 'at least 1'),
        (gallery >= mates, 'gallery', gallery, f'at least {mates}: one of everybody whom the probes show'),
        (distractors >= 1, 'distractors', distractors, 'at least 1'),
        (size >= 16, 'size', size, 'at least 16 pixels'),
        (seed >= 0, 'seed', seed, 'at least 0'),
    )

    def write(folder):
        def jpegs(purpose, group, identities):
            return _jpegs(purpose, group, identities, size, seed)

        train = np.repeat(np.arange(train_identities), train_pictures)
        shown, same = verification_pairs(validation_identities, pairs, seed)
        folder.mkdir()
        write_records(folder / 'train', jpegs('train', 'train', train), train)
        write_pairs(folder / 'verify.bin', jpegs('verify', 'validation', shown.ravel()), same)
        for purpose, name, count in (('probe', 'Probe', probes), ('gallery', 'Gallery_Match', gallery)):
            turns = np.arange(count) % validation_identities
            labels = [f'{identity}_{number // validation_identities}' for number, identity in enumerate(turns)]
            _write_files(folder / name, labels, jpegs(purpose, 'validation', turns))
        others = np.arange(distractors)
        _write_files(folder / 'Gallery_Distractor', others, jpegs('distractor', 'distractor', others))
        return dict(
            train_identities=train_identities,
            train_images=len(train),
            validation_identities=validation_identities,
            pairs=pairs,
            probes=probes,
            gallery=gallery,
            distractors=distractors,
        )

    return write_folder(root, dict(generator=_GENERATOR, **counts), write, force)


def _jpegs(purpose, group, identities, size, seed):
    """One JPEG file of each identity, in this order."""
    numbered = list(enumerate(identities.tolist()))
    if len(numbered) >= 200:  # for half a second of work it would only be noise
        numbered = track(numbered, f'{purpose} pictures')
    return [
        encode_jpeg(resize(draw_face(make_identity(group, identity, seed), purpose, number, seed), (size, size)))
        for number, identity in numbered
    ]


def _write_files(folder, names, jpegs):
    folder.mkdir()
    for name, jpeg in zip(names, jpegs):
        (folder / f'{name}.jpg').write_bytes(jpeg)


def verification_pairs(identities: int, pairs: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw who is in which pair.

    Args:
        identities: Number of persons to draw from, at least 2.
        pairs: Number of pairs, a multiple of 20.
        seed: From 0.

    Returns:
        The persons, int (pairs, 2), and whether the two are the same, bool (pairs,): in each of the
        ten folds all pairs of one person, then all pairs of two.

    Example:
        >>> persons, same = verification_pairs(identities=5, pairs=40, seed=0)
        >>> same[:8]
        array([ True,  True, False, False,  True,  True, False, False])
    """
    rng = np.random.default_rng([seed, 2])
    persons = np.stack([rng.choice(identities, 2, replace=False) for _ in range(pairs)])
    same = np.tile(np.repeat([True, False], pairs // FOLDS // 2), FOLDS)
    persons[same, 1] = persons[same, 0]
    return persons, same


def write_records(stem: Path, jpegs: list[bytes], labels: np.ndarray) -> None:
    """Write ``<stem>.rec`` and ``<stem>.idx``: MXNet's RecordIO in the order of insightface's bundles.

    Record 0 says at which keys the pictures end and the identities end. The pictures have the keys
    from 1; then one record for each identity says from which key up to which its pictures are.

    Args:
        stem: The path of both files without its suffix.
        jpegs: The pictures as files.
        labels: int (N,), whom they show, ascending from 0 without a gap.
    """
    first, last = len(jpegs) + 1, len(jpegs) + labels[-1] + 2
    starts = np.searchsorted(labels, np.arange(labels[-1] + 2)) + 1
    records = [
        _record([first, last]),
        *(_record([label], jpeg) for label, jpeg in zip(labels, jpegs)),
        *(_record(part) for part in pairwise(starts)),
    ]
    offsets = np.cumsum([0, *map(len, records)])
    stem.with_suffix('.rec').write_bytes(b''.join(records))
    lines = (f'{key}\t{offset}\n' for key, offset in enumerate(offsets[:-1]))
    stem.with_suffix('.idx').write_text(''.join(lines), newline='\n')


def _record(labels, content=b''):
    """One record: a single label is in its header, two labels follow it. The ids stay 0, as nobody reads them."""
    single = len(labels) == 1
    header = struct.pack('<IfQQ', 0, labels[0], 0, 0) if single else struct.pack('<IfQQ2f', 2, 0, 0, 0, *labels)
    data = header + content
    return struct.pack('<II', _MAGIC, len(data)) + data + bytes(-len(data) % 4)


def write_pairs(path: Path, jpegs: list[bytes], same: np.ndarray) -> None:
    """Write a verification file of insightface: a pickle of (list of JPEG files, list of bool).

    Args:
        path: The file.
        jpegs: 2N pictures; pair i is 2i and 2i + 1.
        same: bool (N,), whether a pair shows one person.
    """
    # Since protocol 3 a pickle holds bytes as such; before, it calls a function to make them.
    path.write_bytes(pickle.dumps((jpegs, same.tolist()), protocol=4))
