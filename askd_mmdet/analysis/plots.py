"""What all figures share: colours that colour-blind people can tell apart, and how a figure becomes bytes."""

import io
from collections.abc import Iterable

from matplotlib.figure import Figure

# Okabe and Ito's palette without its yellow, which is too light for lines; runs take them in this order.
COLOURS = ('#0072B2', '#D55E00', '#009E73', '#CC79A7', '#56B4E9', '#E69F00', '#000000')
MARKERS = ('o', 's', '^', 'D', 'v', 'P', 'X')
# Of attention maps: even steps look even, also in grey and to colour-blind people.
COLOUR_SCALE = 'cividis'
_STYLE = {'font.size': 9, 'axes.spines.top': False, 'axes.spines.right': False, 'axes.grid': True, 'grid.alpha': 0.25}


def panels(rows: int = 1, columns: int = 1, size: tuple[float, float] = (3.4, 2.6), **settings) -> tuple[Figure, list]:
    """A figure and its axes, row by row; no window and no global state.

    Args:
        rows, columns: How many panels.
        size: Of one, in inches.
        **settings: See `Figure.subplots`.
    """
    import matplotlib

    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(size[0] * columns, size[1] * rows), layout='constrained')
        axes = figure.subplots(rows, columns, squeeze=False, **settings)
    return figure, axes.ravel().tolist()


def line(index: int) -> dict:
    """Colour and marker of the run with that number; every seventh looks the same."""
    return dict(color=COLOURS[index % len(COLOURS)], marker=MARKERS[index % len(MARKERS)], markersize=4, linewidth=1.5)


def encode(figure: Figure, kind: str = 'svg') -> bytes:
    """The figure as a file: 'svg' for lines, 'png' for pixels. Equal figures give equal bytes.

    Raises:
        ValueError: For a kind that matplotlib cannot write.
    """
    import matplotlib

    target = io.BytesIO()
    with matplotlib.rc_context({'svg.hashsalt': 'askd', 'svg.fonttype': 'none'}):
        figure.savefig(target, format=kind, dpi=110, metadata={'Date': None} if kind == 'svg' else None)
    return target.getvalue()


def runs_legend(axes, labels: Iterable[str]) -> None:
    """A legend where there is more than one line."""
    if len(list(labels)) > 1:
        axes.legend(fontsize=8, frameon=False)


def colour_scale(steps: int = 9) -> list[str]:
    """Colours of `COLOUR_SCALE` from its first to its last, as '#rrggbb'."""
    import matplotlib
    from matplotlib.colors import to_hex

    return [to_hex(matplotlib.colormaps[COLOUR_SCALE](i / (steps - 1))) for i in range(steps)]
