"""A small WIDER FACE: real faces and non-faces in real pictures, all from scikit-image's wheel.

Nothing is downloaded. Every picture holds as many non-faces as faces, pasted in the same way at the
same sizes, contrasts and brightnesses, so that neither the border of a patch nor its mere presence
gives a face away.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import resources
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
from scipy.io import savemat

from askd_mmdet.progress import track
from askd_mmdet.toy.folder import check, check_whole, encode_jpeg, write_folder

SPLITS = ('train', 'val')
SUBSETS = ('easy', 'medium', 'hard')

# The part of every background and of the patches that training sees; validation sees the rest.
_TRAIN_PART = 0.65
_BACKGROUNDS = {
    '0--Brick': 'brick.png',
    '1--Cat': 'chelsea.png',
    '2--Coffee': 'coffee.png',
    '3--Grass': 'grass.png',
    '4--Gravel': 'gravel.png',
    '5--Galaxies': 'hubble_deep_field.jpg',
    '6--Tissue': 'ihc.png',
    '7--Moon': 'moon.png',
    '8--Motorcycle': 'motorcycle_left.png',
    '9--Retina': 'retina.jpg',
    '10--Rocket': 'rocket.jpg',
}

_PATCH_SIDE = 25
# Where the face is in a patch of lfw_subset.npy, measured on the mean of the 100 faces: from the
# hair line to the chin and without the ears, which is how WIDER FACE draws its boxes.
_FACE_X, _FACE_Y, _FACE_WIDTH, _FACE_HEIGHT = 2, 0, 18, 24
# "Non-faces" that show half a face.
_HALF_FACES = (125, 130)

_WITHOUT_FACE = np.zeros((1, 4), np.int32)
# To be raised when the same arguments come to give other files.
_GENERATOR = 1


def skimage_file(name: str) -> Path:
    """A file that ships inside scikit-image's wheel."""
    path = Path(str(resources.files('skimage.data') / name))
    if not path.is_file():
        raise FileNotFoundError(
            f'no {path}, which the wheel of scikit-image contains; reinstall it: '
            'pip install --force-reinstall scikit-image'
        )
    return path


def part_of(array: np.ndarray, split: str, axis: int) -> np.ndarray:
    """What a split may see of an array: the first part for training, the last for validation."""
    train, val = np.split(array, [round(_TRAIN_PART * array.shape[axis])], axis)
    return {'train': train, 'val': val}[split]


@cache
def background(event: str, split: str) -> np.ndarray:
    """What a split may show of an event's picture: its left for training, its right for validation.

    Returns:
        uint8, (H, W), grey: the faces are grey, and colour elsewhere would betray them.
    """
    grey = cv2.imread(str(skimage_file(_BACKGROUNDS[event])), cv2.IMREAD_GRAYSCALE)
    return part_of(grey, split, axis=1)


@cache
def patch_indices(split: str) -> tuple[np.ndarray, np.ndarray]:
    """Which patches of lfw_subset.npy a split shows, as indices: faces are 0-99, non-faces 100-199.

    No patch is in both splits. (Whether two patches show the same person, scikit-image does not
    say.) Left out are non-faces that are flat in the middle, that show half a face, or mostly the
    black frame around a photograph.
    """
    everything = patches()
    textured = (everything[:, 5:20, 5:20].std((1, 2)) > 0.04) & ((everything < 0.01).mean((1, 2)) < 0.4)
    faces, non_faces = np.split(np.arange(len(everything)), 2)
    non_faces = np.setdiff1d(non_faces[textured[non_faces]], _HALF_FACES)
    return part_of(faces, split, axis=0), part_of(non_faces, split, axis=0)


@cache
def patches() -> np.ndarray:
    """float32, (200, 25, 25), in [0, 1]: 100 faces of LFW, then 100 non-faces."""
    return np.load(skimage_file('lfw_subset.npy')).astype(np.float32)


@dataclass
class Picture:
    """One picture and what was pasted into it.

    Attributes:
        image: uint8, (H, W), grey.
        boxes: int32, (N, 4), the faces as x, y, width, height in pixels.
        faces: int, (N,), the faces' indices in lfw_subset.npy.
        non_face_boxes: int32, (N, 4): boxes at the same place in the patches of the non-faces.
        non_faces: int, (N,), the non-faces' indices in lfw_subset.npy.
        flipped: bool, (2N,), which patches are mirrored: the faces', then the non-faces'.
    """

    image: np.ndarray
    boxes: np.ndarray
    faces: np.ndarray
    non_face_boxes: np.ndarray
    non_faces: np.ndarray
    flipped: np.ndarray


def draw_picture(
    split: str,
    index: int,
    size: tuple[int, int],
    seed: int,
    faces_per_image: tuple[int, int],
    face_sizes: tuple[int, int],
    without_faces: float,
) -> Picture:
    """Draw picture `index` of a split, which depends on no other picture.

    The other arguments are those of :func:`make_wider_face`.

    Raises:
        ValueError: When the patches do not find room.
    """
    rng = np.random.default_rng([seed, SPLITS.index(split), index])
    low, high = faces_per_image
    count = 0 if rng.random() < without_faces else rng.integers(low, high + 1)
    chosen = np.concatenate([rng.choice(indices, count) for indices in patch_indices(split)])
    flipped = rng.random(2 * count) < 0.5
    x, y, sides = _layout(rng, 2 * count, size, face_sizes)

    image = random_crop(rng, background(event_of(index), split), size).astype(np.float32)
    for i, patch in enumerate(patches()[chosen]):
        _paste(rng, image, patch[:, ::-1] if flipped[i] else patch, x[i], y[i], sides[i])
    # The grain of a sensor, over everything: patches would be smoother than what surrounds them.
    image += rng.normal(0, 2, size)

    left = np.where(flipped, _PATCH_SIDE - _FACE_X - _FACE_WIDTH, _FACE_X)
    scale = sides / _PATCH_SIDE
    boxes = np.stack([x + left * scale, y + _FACE_Y * scale, _FACE_WIDTH * scale, _FACE_HEIGHT * scale], axis=1)
    boxes = boxes.round().astype(np.int32)
    return Picture(
        image=image.round().clip(0, 255).astype(np.uint8),
        boxes=boxes[:count],
        faces=chosen[:count],
        non_face_boxes=boxes[count:],
        non_faces=chosen[count:],
        flipped=flipped,
    )


def event_of(index: int) -> str:
    """The event, which is the background, of a picture: they take turns."""
    return list(_BACKGROUNDS)[index % len(_BACKGROUNDS)]


def _patch_side(face_height):
    return np.rint(np.asarray(face_height) * _PATCH_SIDE / _FACE_HEIGHT).astype(int)


def _layout(rng, count, size, face_sizes, attempts=100):
    """Left, top and side of `count` square patches that do not overlap, each int (count,)."""
    low, high = face_sizes
    for _ in range(attempts):
        heights = np.exp(rng.uniform(np.log(low), np.log(high + 1), count)).astype(int)
        sides = _patch_side(heights)
        x, y = np.zeros((2, count), int)
        placed = []
        for i in np.argsort(-sides, kind='stable'):
            for _ in range(attempts):
                x[i], y[i] = rng.integers(0, (size[1] - sides[i] + 1, size[0] - sides[i] + 1))
                if all(
                    x[i] + sides[i] <= x[j] or x[j] + sides[j] <= x[i]
                    or y[i] + sides[i] <= y[j] or y[j] + sides[j] <= y[i]
                    for j in placed
                ):  # fmt: skip
                    placed.append(i)
                    break
            else:
                break
        if len(placed) == count:
            return x, y, sides
    raise ValueError(
        f'{count // 2} faces of {low} to {high} pixels and as many non-faces find no room in '
        f'pictures of {size[0]}x{size[1]}; make size larger, or faces_per_image or face_sizes less'
    )


def resize(image, size):
    """Averages pixels where it shrinks, so that nothing aliases."""
    shrinks = size[0] < image.shape[0]
    return cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)


def random_crop(rng, image, size):
    """A window of the aspect ratio of `size`, half to all of the image long, resized to it."""
    scale = rng.uniform(0.5, 1) * min(np.divide(image.shape, size))
    height, width = np.rint(np.multiply(size, scale)).astype(int).clip(1)
    y, x = rng.integers(0, np.subtract(image.shape, (height, width)) + 1)
    return resize(image[y : y + height, x : x + width], size)


def _paste(rng, image, patch, x, y, side):
    """Blend a patch into an image, in place: random contrast and brightness, soft border."""
    patch = (patch - patch.mean()) / patch.std()
    patch = resize(rng.uniform(90, 170) + rng.uniform(30, 55) * patch, (side, side))
    across = np.abs(np.arange(side) * 2 + 1 - side) / side
    radius = (across[:, None] ** 4 + across**4) ** 0.25
    opacity = np.clip((1 - radius) / 0.2, 0, 1)
    window = image[y : y + side, x : x + side]
    window += opacity * (patch.clip(0, 255) - window)


def make_wider_face(
    root: str | Path,
    train_images: int = 1000,
    val_images: int = 200,
    size: tuple[int, int] = (160, 160),
    seed: int = 0,
    faces_per_image: tuple[int, int] = (1, 5),
    face_sizes: tuple[int, int] = (10, 48),
    without_faces: float = 0.05,
    subset_heights: tuple[int, int, int] = (30, 20, 10),
    force: bool = False,
) -> dict[str, int]:
    """Write a toy WIDER FACE, in the layout of the official download, where there is none yet.

    ``WIDER_{train,val}/images/<event>/*.jpg``,
    ``wider_face_split/wider_face_{train,val}_bbx_gt.txt``,
    ``eval_tools/ground_truth/wider_{face,easy,medium,hard}_val.mat``,
    and ``toy.json``, which holds the arguments. The same arguments give the same bytes, and picture
    i is the same however many there are. The folder appears when it is complete, and not before.

    Args:
        root: Folder to write; it must not exist, be empty, or hold a toy set.
        train_images: Number of training pictures.
        val_images: Number of validation pictures, which show other faces, other non-faces and other
            parts of the backgrounds.
        size: Height and width of the pictures in pixels.
        seed: Any integer from 0.
        faces_per_image: Fewest and most faces in a picture that has any; as many are its non-faces.
        face_sizes: Least and greatest height of a face box in pixels; drawn log-uniformly. A box is
            3/4 as wide.
        without_faces: Share of the pictures without a face, in [0, 1].
        subset_heights: Least height in pixels of the validation faces that count in the subsets
            easy, medium and hard.
        force: Replace a toy set that was made with other arguments.

    Returns:
        How many there are: ``train_images``, ``val_images``, ``train_faces``, ``val_faces``, and
        the faces that count in ``easy``, ``medium`` and ``hard``.

    Raises:
        ValueError: When an argument is out of range, or the patches do not fit into the pictures.
        FileExistsError: When root holds anything else, or a toy set with other arguments and
            `force` is not set.
        FileNotFoundError: When scikit-image lacks a picture.
    """
    arguments = dict(
        generator=_GENERATOR,
        train_images=train_images,
        val_images=val_images,
        size=list(size),
        seed=seed,
        faces_per_image=list(faces_per_image),
        face_sizes=list(face_sizes),
        without_faces=without_faces,
        subset_heights=list(subset_heights),
    )
    _check(**arguments)
    drawing = (size, seed, faces_per_image, face_sizes, without_faces)

    def write(folder):
        train = _write_split(folder, 'train', train_images, drawing)
        val = _write_split(folder, 'val', val_images, drawing)
        return dict(
            train_images=train_images,
            val_images=val_images,
            train_faces=_count(train),
            val_faces=_count(val),
            **write_ground_truth(
                folder / 'eval_tools/ground_truth',
                val,
                lambda event, name, boxes: {
                    subset: boxes[:, 3] >= height for subset, height in zip(SUBSETS, subset_heights)
                },
            ),
        )

    return write_folder(root, arguments, write, force)


def _check(
    train_images,
    val_images,
    size,
    seed,
    faces_per_image,
    face_sizes,
    without_faces,
    subset_heights,
    **_,
):
    check_whole(train_images=train_images, val_images=val_images, seed=seed)
    greatest = _patch_side(face_sizes[1])
    check(
        (train_images >= 1, 'train_images', train_images, 'at least 1'),
        (val_images >= 1, 'val_images', val_images, 'at least 1'),
        (seed >= 0, 'seed', seed, 'at least 0'),
        (
            1 <= faces_per_image[0] <= faces_per_image[1],
            'faces_per_image',
            faces_per_image,
            '1 <= low <= high',
        ),
        (1 <= face_sizes[0] <= face_sizes[1], 'face_sizes', face_sizes, '1 <= low <= high'),
        (
            greatest <= min(size),
            'size',
            size,
            f'at least {greatest} for faces of {face_sizes[1]} pixels',
        ),
        (0 <= without_faces <= 1, 'without_faces', without_faces, 'a share in [0, 1]'),
        (
            subset_heights[0] >= subset_heights[1] >= subset_heights[2] >= 1,
            'subset_heights',
            subset_heights,
            'easy >= medium >= hard >= 1',
        ),
    )


def _write_split(root, split, count, drawing):
    """Write pictures and annotations of a split; returns {event: {file name: boxes}}, sorted."""
    annotations = defaultdict(dict)
    # For half a second of work it would only be noise.
    indices = range(count) if count < 200 else track(range(count), f'{split} pictures')
    for index in indices:
        picture = draw_picture(split, index, *drawing)
        event = event_of(index)
        path = root / f'WIDER_{split}/images' / event / f'{event.replace("--", "_")}_{split}_{index}.jpg'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode_jpeg(picture.image))
        annotations[event][path.name] = picture.boxes

    annotations = dict(sorted(annotations.items()))
    write_annotations(root / f'wider_face_split/wider_face_{split}_bbx_gt.txt', annotations)
    return annotations


def write_annotations(path: Path, annotations: dict[str, dict[str, np.ndarray]]) -> None:
    """Write `wider_face_{train,val}_bbx_gt.txt`.

    Args:
        path: The file; its folder is made where it is missing.
        annotations: For every event the boxes of its pictures by file name: x, y, width and height
            in whole pixels, (N, 4). Six more columns may give the attributes, blur to pose; they
            are 0 otherwise.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open('w') as file:
        for event, images in annotations.items():
            for name, boxes in images.items():
                rows = boxes if len(boxes) else _WITHOUT_FACE
                rows = np.pad(rows, ((0, 0), (0, 10 - rows.shape[1])))
                print(f'{event}/{name}', len(boxes), sep='\n', file=file)
                np.savetxt(file, rows, fmt='%d')


def _count(annotations):
    return sum(len(boxes) for images in annotations.values() for boxes in images.values())


def write_ground_truth(
    folder: Path,
    annotations: dict[str, dict[str, np.ndarray]],
    counts: Callable[[str, str, np.ndarray], dict[str, np.ndarray]],
) -> dict[str, int]:
    """Write the .mat files of the official evaluation.

    Args:
        folder: New folder for them.
        annotations: See :func:`write_annotations`.
        counts: Of an event, a file name and its boxes (N, 4): for every subset which faces count in
            it, bool (N,).

    Returns:
        How many faces count, by subset.
    """
    folder.mkdir(parents=True)
    boxes = [[boxes if len(boxes) else _WITHOUT_FACE for boxes in images.values()] for images in annotations.values()]
    names = [[Path(name).stem for name in images] for images in annotations.values()]
    common = dict(
        event_list=_cells(annotations),
        file_list=_cells(map(_cells, names)),
        face_bbx_list=_cells(map(_cells, boxes)),
    )
    _save_mat(folder / 'wider_face_val.mat', common)
    chosen = [[counts(event, *image) for image in images.items()] for event, images in annotations.items()]
    totals = {}
    for subset in SUBSETS:
        indices = [[_indices(subsets[subset]) for subsets in event] for event in chosen]
        _save_mat(folder / f'wider_{subset}_val.mat', dict(common, gt_list=_cells(map(_cells, indices))))
        totals[subset] = sum(len(rows) for event in indices for rows in event)
    return totals


def _indices(mask):
    """1-based indices of what counts, (n, 1), in the least type, like Matlab."""
    return (np.flatnonzero(mask)[:, None] + 1).astype(np.min_scalar_type(len(mask)))


def _cells(items):
    """A column of Matlab cells, (n, 1)."""
    items = list(items)
    cells = np.empty((len(items), 1), object)
    for i, item in enumerate(items):
        cells[i, 0] = item
    return cells


def _save_mat(path, variables):
    """Save without the time in the first 116 bytes, so that equal contents are equal files."""
    stream = BytesIO()
    savemat(stream, variables)
    path.write_bytes(b'MATLAB 5.0 MAT-file, toy WIDER FACE'.ljust(116) + stream.getvalue()[116:])
