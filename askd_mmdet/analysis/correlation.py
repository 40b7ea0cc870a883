"""Fig. 5 drawn: the correlation between a teacher's and its students' attention maps, stage by stage."""

from askd_mmdet.distillation.correlation import Correlation, pearson

__all__ = ['Correlation', 'pearson', 'plot_correlations']


def plot_correlations(rows: dict[str, dict[str, Correlation]]):
    """Draw 2D histograms of the teacher's numbers (x, HR) against the student's (y, LR), with r.

    Args:
        rows: For each network and kind of map (`'A-SKD, spatial'`) the correlations by stage; a row of panels each,
            and a column for each stage of any row. Stages that a row lacks stay empty.

    Returns:
        A matplotlib Figure. Each panel shows the part of [0, 1] in which its numbers lie, the same on both axes, so
        that equal maps lie on the diagonal, which is drawn; a colour is a power of the number of pixels.

    Raises:
        ValueError: When there is no correlation to draw.
    """
    from askd_mmdet.analysis.plots import COLOUR_SCALE, panels

    # The row with most stages tells their order.
    columns = list(dict.fromkeys(stage for row in sorted(rows.values(), key=len, reverse=True) for stage in row))
    if not columns:
        raise ValueError('found no correlation to draw, expected at least one network with one stage')
    figure, axes = panels(len(rows), len(columns), size=(2.2, 2.3))
    for i, (label, row) in enumerate(rows.items()):
        for j, stage in enumerate(columns):
            ax = axes[i * len(columns) + j]
            if stage in row:
                _draw(ax, row[stage], stage, COLOUR_SCALE)
            else:
                ax.set_axis_off()
            if j == 0:
                ax.set_ylabel(f'{label}\nstudent (LR)')
            if i == len(rows) - 1:
                ax.set_xlabel('teacher (HR)')
    return figure


def _draw(ax, correlation, stage, colours):
    from matplotlib.colors import LogNorm

    counts = correlation.histogram
    r = 'undefined:\na constant map' if correlation.r is None else f'r = {correlation.r:.2f}'
    ax.set_title(f'{stage}\n{r}')
    ax.set_aspect('equal')
    used = (counts.sum(0) + counts.sum(1)).nonzero()[0]
    if len(used):
        low, high = used[0] / len(counts), (used[-1] + 1) / len(counts)
        ax.imshow(
            counts, cmap=colours, norm=LogNorm(1, max(counts.max(), 2)), origin='lower', extent=(0, 1, 0, 1), zorder=2
        )
        ax.plot([0, 1], [0, 1], color='grey', linewidth=0.8, linestyle=':', zorder=3)
        ax.set(xlim=(low, high), ylim=(low, high))
