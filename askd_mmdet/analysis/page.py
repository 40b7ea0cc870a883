"""One HTML page that opens anywhere and asks nobody for anything: its parts, and how they become text."""

import base64
import platform
import shlex
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import cv2
import jinja2
import numpy as np
import torch
from matplotlib.figure import Figure

from askd_mmdet.analysis.plots import colour_scale, encode
from askd_mmdet.version import __version__

_TEMPLATE = Path(__file__).with_name('report.html')
# Of JPEGs: a page shall stay small enough for a mail.
_QUALITY = 82


@dataclass(frozen=True)
class Table:
    head: Sequence[str]
    rows: Sequence[Sequence[object]]
    numbers: Iterable[int] = ()  # the columns that hold numbers


@dataclass(frozen=True)
class Layer:
    """One of the pictures that lie over each other, as a data URI."""

    name: str
    source: str


@dataclass(frozen=True)
class Pair:
    """Pictures of one size. A slider moves between two of them, or they stand in rows.

    Attributes:
        caption: Below them.
        layers: The pictures.
        left, right: The names of those that are shown first.
        columns: How many stand in a row; 0 for the slider.
        scale: The numbers of the first and last colour of a map, for a colour bar; None where there is none.
    """

    caption: str
    layers: Sequence[Layer]
    left: str = ''
    right: str = ''
    columns: int = 0
    scale: tuple[float, float] | None = None


@dataclass(frozen=True)
class Part:
    """A table, charts or pictures, with a sentence that says how to read it."""

    read: str
    title: str = ''
    table: Table | None = None
    charts: Sequence[str] = ()
    folded: bool = False  # behind its title, for those who want to know
    pairs: Sequence[Pair] = ()


@dataclass
class Section:
    """Attributes: `answer`: sentences for the top of the page."""

    name: str
    title: str
    parts: list[Part] = field(default_factory=list)
    answer: list[str] = field(default_factory=list)


_GLOSSARY = {
    'HR, LR, 4x': 'high and low resolution; at 4x a picture has lost all but a quarter of its width and height',
    'HR teacher': 'sees HR pictures, and is what students learn from',
    'Base': 'learnt from LR pictures alone',
    'A-SKD': 'learnt from LR pictures and from where the teacher looks in the HR ones',
    'AP; easy, medium, hard': 'average precision of a detector, 0 to 100; easy counts the largest faces, hard all',
    'seed': 'a training anew, from other random numbers',
}


def picture_uri(image: np.ndarray, width: int) -> str:
    """A picture, BGR uint8 (H, W, 3), as a data URI, reduced where it is wider than `width` pixels."""
    if image.shape[1] > width:
        height = max(1, round(image.shape[0] * width / image.shape[1]))
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    _, content = cv2.imencode('.jpg', image, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return _uri(content.tobytes(), 'image/jpeg')


def chart_uri(figure: Figure, kind: str = 'svg') -> str:
    """A figure as a data URI: 'svg' for lines, 'png' for many pixels."""
    return _uri(encode(figure, kind), 'image/svg+xml' if kind == 'svg' else 'image/png')


def _uri(content, kind):
    return f'data:{kind};base64,{base64.b64encode(content).decode()}'


def charts(title: str, read: str, figures: Sequence[Figure], kind: str = 'svg') -> list[Part]:
    """The part of some figures; none where there is no figure."""
    return [Part(read, title, charts=[chart_uri(figure, kind) for figure in figures])] if figures else []


def render(title: str, subtitle: str, answer: Sequence[str], sections: Sequence[Section]) -> str:
    """The page as HTML. Whatever stands in names and settings is text, never markup.

    Args:
        title: Of the page.
        subtitle: Below it.
        answer: Sentences that say what it is all about.
        sections: Those without parts are left out.
    """
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    return environment.from_string(_TEMPLATE.read_text()).render(
        title=title,
        subtitle=f'{subtitle}; written {datetime.now():%Y-%m-%d %H:%M}.',
        answer=answer,
        glossary=_GLOSSARY,
        colours=', '.join(colour_scale()),
        sections=[section for section in sections if section.parts],
        footer=f'askd_mmdet {__version__}, torch {torch.__version__}, Python {platform.python_version()}; '
        f'{shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])}',
    )
