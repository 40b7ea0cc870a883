"""WIDER FACE's submission format: a text file `event/stem.txt` for every image.

Its lines are the name of the image, the number of detections, and for each of them x, y, width,
height (pixels) and score.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from askd_mmdet.training.files import replace_text

LAYOUT = """\
<submission>/
  0--Parade/
    0_Parade_marchingband_1_465.txt
    ...
  1--Handshaking/
    ..."""

_COLUMNS = 5
# Nine digits tell every float32 from its neighbours, so scores keep their order.
_LINE = ' '.join(['%.9g'] * _COLUMNS) + '\n'


def write_detections(folder: str | Path, name: str, boxes: np.ndarray, scores: np.ndarray) -> None:
    """Write the file of an image. An interrupted write leaves no file, or the one that was there.

    Args:
        folder: The submission.
        name: `event/stem` of the image.
        boxes: (N, 4), x, y, width, height in pixels.
        scores: (N,).
    """
    path = Path(folder, f'{name}.txt')
    rows = np.column_stack([boxes, scores])
    lines = _LINE * len(rows) % tuple(rows.ravel().tolist())
    replace_text(path, f'{path.stem}\n{len(rows)}\n{lines}')


def read_detections(path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """Read the file of an image, with or without a byte order mark. What its first line says does not matter.

    Returns:
        Boxes as x, y, width, height in pixels, float64, (N, 4), and scores, float64, (N,).

    Raises:
        ValueError: When the count is wrong, or a line is not five finite numbers.
    """
    # A damaged byte makes its line wrong instead of the file unreadable.
    lines = Path(path).read_text(encoding='utf-8-sig', errors='replace').rstrip().split('\n')
    count = lines[1].strip() if len(lines) > 1 else 'the end of the file'
    rows = lines[2:]
    if count != str(len(rows)):
        raise ValueError(
            f'{path}:2: found {count!r}, expected {len(rows)}, the number of lines that follow: '
            'name, count, and "x y width height score" for each detection'
        )
    table = _read_rows(rows)
    if table is None:
        number, row = next((i, row) for i, row in enumerate(rows, 3) if _read_rows([row]) is None)
        raise ValueError(
            f'{path}:{number}: found {row!r}, expected five finite numbers, "x y width height score"; '
            'write this file again'
        )
    return table[:, :4], table[:, 4]


def _read_rows(rows):
    """The numbers of some lines, float64, (N, 5), or None where one is not five finite numbers.

    NumPy's reader alone is the judge, of all lines and of each: unlike `float`, it takes no underscores and ASCII
    digits only.
    """
    if not rows:
        return np.zeros((0, _COLUMNS))
    if not all(map(str.strip, rows)):  # it would pass over empty lines
        return None
    try:
        table = np.loadtxt(rows, comments=None, ndmin=2)
    except ValueError:
        return None
    return table if table.shape == (len(rows), _COLUMNS) and np.isfinite(table).all() else None


def iterate_submission(folder: str | Path) -> Iterator[tuple[str, Path]]:
    """The images of a submission in the order of their names: `event/stem` and file. What is hidden is passed over.

    Raises:
        FileNotFoundError: When no event folder with a text file is there.
    """
    paths = sorted(Path(folder).glob('[!.]*/[!.]*.txt'))
    if not paths:
        flat = any(Path(folder).glob('*.txt'))
        found = 'has text files, but none in an event folder' if flat else 'is no folder with text files'
        raise FileNotFoundError(f'{folder} {found}; a submission should lie as\n{LAYOUT}')
    for path in paths:
        yield f'{path.parent.name}/{path.stem}', path
