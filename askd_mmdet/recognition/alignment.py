"""From a face in a picture to the crop that ArcFace networks expect: five landmarks onto a template, or by its box."""

import cv2
import numpy as np

from askd_mmdet.training.settings import check_number

# Where ArcFace (Deng et al., CVPR 2019) and its data sets have the landmarks in crops of 112x112 pixels, x and y: the
# eye at the left of the picture, the other eye, the tip of the nose, the left corner of the mouth, the right one.
TEMPLATE = np.array(
    [(38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041)]
)
TEMPLATE_SIZE = 112
# The square that alignment cuts out, beside a face's box as WIDER FACE draws it: its side is so many times the square
# root of the box's area, and its middle lies above the box's by this share of the height. Medians over faces of WIDER
# FACE whose landmarks MTCNN finds; benchmarks/box_crop.py measures them.
BOX_SIDE, BOX_RISE = 1.23, 0.07


def alignment_matrix(landmarks: np.ndarray, size: int = TEMPLATE_SIZE) -> np.ndarray:
    """The similarity (rotation, scale, translation) that puts landmarks closest to the template, in least squares.

    Solved as by Umeyama (PAMI 1991), who allows no reflection.

    Args:
        landmarks: (5, 2), x and y in pixels, in the order of `TEMPLATE`.
        size: Side of the crop in pixels; the template grows with it.

    Returns:
        float64 (2, 3), for points as columns (x, y, 1).

    Raises:
        ValueError: When the landmarks have another shape, are not finite, or all coincide, or the size is less than 1.

    Example:
        >>> alignment_matrix(TEMPLATE * 2 + 10).round(6) + 0.0
        array([[ 0.5,  0. , -5. ],
               [ 0. ,  0.5, -5. ]])
    """
    from skimage.transform import estimate_transform  # which training and testing do without

    landmarks = np.asarray(landmarks, np.float64)
    if landmarks.shape != TEMPLATE.shape:
        raise ValueError(
            f'found landmarks of shape {landmarks.shape}, expected (5, 2): x and y of both eyes, the nose and both '
            'corners of the mouth'
        )
    if not np.isfinite(landmarks).all():
        raise ValueError(f'found landmarks {landmarks.tolist()}, expected finite numbers of pixels')
    if not np.ptp(landmarks, axis=0).any():
        raise ValueError(f'all five landmarks are at {tuple(landmarks[0].tolist())}, expected different points')
    check_number('align', 'size', size, whole=True, at_least=1)
    return estimate_transform('similarity', landmarks, TEMPLATE * size / TEMPLATE_SIZE).params[:2]


def align(image: np.ndarray, landmarks: np.ndarray, size: int = TEMPLATE_SIZE) -> np.ndarray:
    """Cut a face out so that its landmarks lie as near to the template as a similarity brings them.

    Args:
        image: (H, W) or (H, W, C), of a type that OpenCV warps (uint8, uint16, float32, float64).
        landmarks: (5, 2), x and y in pixels of the image, see :func:`alignment_matrix`.
        size: Side of the crop in pixels.

    Returns:
        (size, size) or (size, size, C), of the type of the image, interpolated bilinearly; black beyond its border.

    Raises:
        ValueError: For an image of another shape or without pixels, landmarks outside it, and those that
            :func:`alignment_matrix` refuses.

    Example:
        >>> image = np.zeros((200, 200, 3), np.uint8)
        >>> image[103, 112] = 255  # the nose, at twice the template
        >>> crop = align(image, TEMPLATE * 2 - (0, 40.4732))
        >>> crop.shape, np.argwhere(crop[..., 0]).tolist()
        ((112, 112, 3), [[72, 56]])
    """
    _check_image(image)
    matrix = alignment_matrix(landmarks, size)
    height, width = image.shape[:2]
    if (np.min(landmarks, 0) < 0).any() or (np.max(landmarks, 0) > (width, height)).any():
        raise ValueError(
            f'found landmarks {np.asarray(landmarks).tolist()} outside of the image of {width}x{height} pixels (width '
            'x height): check that they belong to it, and come as x, y'
        )
    return cv2.warpAffine(image, matrix, (size, size), flags=cv2.INTER_LINEAR)


def align_box(image: np.ndarray, box: np.ndarray, size: int = TEMPLATE_SIZE) -> np.ndarray:
    """Cut a face out by its box alone, in about the frame that :func:`align` chooses for an upright face.

    Args:
        image: (H, W) or (H, W, C), of a type that OpenCV warps (uint8, uint16, float32, float64).
        box: (4,), x1, y1, x2, y2 in pixels of the image.
        size: Side of the crop in pixels.

    Returns:
        (size, size) or (size, size, C), of the type of the image, interpolated bilinearly; black beyond its border.

    Raises:
        ValueError: For an image of another shape or without pixels, or a box without an area.

    Example:
        >>> image = np.full((300, 300), 9, np.uint8)
        >>> crop = align_box(image, (0, 0, 100, 100))  # at the corner of the picture
        >>> crop.shape, int(crop[0, 0]), int(crop[56, 56])
        ((112, 112), 0, 9)
    """
    _check_image(image)
    check_number('align_box', 'size', size, whole=True, at_least=1)
    x1, y1, x2, y2 = map(float, box)
    width, height = x2 - x1, y2 - y1
    if not (0 < width < np.inf and 0 < height < np.inf):
        raise ValueError(f'found the box {(x1, y1, x2, y2)}, expected x1 < x2 and y1 < y2 in pixels')
    scale = size / (BOX_SIDE * np.sqrt(width * height))
    middle = np.array([(x1 + x2) / 2, (y1 + y2) / 2 - BOX_RISE * height])
    matrix = np.column_stack([scale * np.eye(2), size / 2 - scale * middle])
    return cv2.warpAffine(image, matrix, (size, size), flags=cv2.INTER_LINEAR)


def _check_image(image):
    if image.ndim not in (2, 3) or not image.size:
        raise ValueError(f'found an image of shape {image.shape}, expected (H, W) or (H, W, C) with pixels')
