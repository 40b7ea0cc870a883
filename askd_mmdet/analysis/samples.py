"""LR samples of a picture, by any recipe and at any ratios, as in fig. 2."""

from collections.abc import Sequence

import cv2
import numpy as np

from askd_mmdet.degradation import RECIPES, low_resolution
from askd_mmdet.training.settings import check_choice, check_numbers, check_type

RATIOS = (1, 2, 4, 8, 16, 32)
_SIDE = 160  # pixels, the longer side of a sample on the sheet
_LINE = 22  # pixels, the height of a line of text
_GAP = 6  # pixels, around samples


def lr_samples(
    image: np.ndarray, ratios: Sequence[float] = RATIOS, recipes: Sequence[str] = ('paper', 'authors')
) -> dict[tuple[str, float], np.ndarray]:
    """A picture as networks see it at some ratios (fig. 2), by the project's own degradation.

    Args:
        image: (H, W) or (H, W, C), see `low_resolution`.
        ratios: HR size over LR size, >= 1; 1 is HR.
        recipes: Of `RECIPES`, see `low_resolution`.

    Returns:
        Pictures of the shape and type of `image` by (recipe, ratio), in the order of the arguments. Ratios at which
        nothing is left of the picture, since its shorter side is less than a pixel of the LR grid, are left out.

    Raises:
        TypeError, ValueError: See `low_resolution`.

    Example:
        >>> list(lr_samples(np.zeros((8, 5), np.uint8), (1, 4, 8), ['paper']))
        [('paper', 1), ('paper', 4)]
    """
    check_numbers('lr_samples', 'ratios', ratios, at_least=1)
    check_type('lr_samples', 'recipes', recipes, list, tuple)
    for recipe in recipes:
        check_choice('lr_samples', 'recipes', recipe, RECIPES)
    return {
        (recipe, ratio): low_resolution(image, ratio, recipe=recipe)
        for recipe in recipes
        for ratio in ratios
        if ratio == 1 or ratio <= min(image.shape[:2])
    }


def draw_samples(
    image: np.ndarray, ratios: Sequence[float] = RATIOS, recipes: Sequence[str] = ('paper', 'authors')
) -> np.ndarray:
    """A sheet of LR samples: a row for each recipe, the ratio and the LR size in pixels above every sample.

    The longer side of a sample is 160 pixels, or the greatest multiple of its own below, so that pixels stay pixels;
    larger ones are reduced after their degradation. Where a ratio leaves nothing of the picture stands a word instead.

    Args:
        image: BGR, uint8 (H, W, 3).
        ratios, recipes: See :func:`lr_samples`.

    Returns:
        BGR, uint8 (height, width, 3).

    Raises:
        TypeError, ValueError: See :func:`lr_samples`; when `image` is no BGR picture.
    """
    found = getattr(image, 'dtype', type(image).__name__), np.shape(image)
    if found[0] != np.uint8 or len(found[1]) != 3 or found[1][2] != 3:
        raise ValueError(f'draw_samples: found {found[0]} {found[1]}, expected a BGR picture, uint8 (H, W, 3)')
    samples = lr_samples(image, ratios, recipes)
    rows = []
    for recipe in recipes:
        row = np.hstack([_cell(image.shape[:2], samples.get((recipe, ratio)), ratio) for ratio in ratios])
        rows += [_text(f"recipe '{recipe}'", row.shape[1]), row]
    return np.vstack(rows)


def _cell(size, sample, ratio):
    """A sample below its label, or a grey one below a word."""
    zoom = _SIDE // max(size) or _SIDE / max(size)
    height, width = (max(1, round(side * zoom)) for side in size)
    if sample is None:
        panel, label = np.full((height, width, 3), 236, np.uint8), f'{ratio:g}x: too small'
    else:
        panel = cv2.resize(sample, (width, height), interpolation=cv2.INTER_NEAREST if zoom >= 1 else cv2.INTER_AREA)
        lr_height, lr_width = (round(side / ratio) for side in size)
        label = f'{"HR" if ratio == 1 else f"{ratio:g}x"}: {lr_width} x {lr_height} px'
    panel = cv2.copyMakeBorder(panel, 0, _GAP, _GAP, _SIDE - width, cv2.BORDER_CONSTANT, value=(255, 255, 255))
    return np.vstack([_text(label, panel.shape[1]), panel])


def _text(text, width):
    """A line of dark text on white."""
    drawn = np.full((_LINE, width, 3), 255, np.uint8)
    return cv2.putText(drawn, text, (_GAP, _LINE - 7), cv2.FONT_HERSHEY_SIMPLEX, 0.43, (40, 40, 40), 1, cv2.LINE_AA)
