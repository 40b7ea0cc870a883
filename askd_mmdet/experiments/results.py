"""From the metrics of all seeds to the table: mean, spread, difference to the base, and the paper's figure."""

import csv
import io
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from scipy import optimize, stats

from askd_mmdet.experiments.answers import answers_of
from askd_mmdet.experiments.plan import Plan, Row
from askd_mmdet.training.files import replace_text


@dataclass(frozen=True)
class Figure:
    """One cell: a metric of a row over the seeds.

    Args:
        values: For each seed that has one.
        difference: Mean difference to the base from the same seeds; None for the base, or where there is none.
        interval: Half the width of its 95 % confidence interval (Student's t, pairs of one seed); None from one seed.
        paper: The paper's figure.
    """

    values: dict[int, float]
    difference: float | None = None
    interval: float | None = None
    paper: float | None = None

    @property
    def mean(self) -> float:
        return float(np.mean(list(self.values.values())))

    @property
    def std(self) -> float | None:
        return float(np.std(list(self.values.values()), ddof=1)) if len(self.values) > 1 else None

    @property
    def text(self) -> str:
        """Mean and standard deviation, as '2.00 ± 1.41'."""
        return f'{self.mean:.2f}' + ('' if self.std is None else f' ± {self.std:.2f}')

    @property
    def gain(self) -> str:
        """The difference to the base and half its interval, as '+2.00 ± 1.41'; empty where there is none."""
        if self.difference is None:
            return ''
        return f'{self.difference:+.2f}' + ('' if self.interval is None else f' ± {self.interval:.2f}')


def paired_difference(ours: dict[int, float], base: dict[int, float]) -> tuple[float | None, float | None]:
    """Mean of ours - base over the seeds of both, and half the width of its 95 % confidence interval.

    Example:
        >>> paired_difference({0: 3.0, 1: 4.0}, {0: 1.0, 2: 9.0})
        (2.0, None)
    """
    differences = [ours[seed] - base[seed] for seed in ours.keys() & base.keys()]
    if not differences:
        return None, None
    if len(differences) == 1:
        return differences[0], None
    return float(np.mean(differences)), float(stats.sem(differences) * stats.t.ppf(0.975, len(differences) - 1))


def detectable(seeds: int) -> float:
    """A true difference that four of five experiments find (p < 0.05), in halves of the 95 % interval that one found.

    That is of Student's paired test at a power of 80 %. The spread between the seeds is known from that one experiment
    alone, and so the power is a mean over what it may be.

    Args:
        seeds: How many pairs, at least two.

    Example:
        >>> round(detectable(3), 1), round(detectable(5), 1)
        (2.0, 1.7)
    """
    freedom = seeds - 1
    limit = stats.t.ppf(0.975, freedom)
    # As the first experiment finds it (down) and the second (across), over the true one: 500 likely values each.
    spread = stats.chi.ppf((np.arange(500) + 0.5) / 500, freedom) * freedom**-0.5

    def found(factor):
        difference = factor * limit * spread[:, None]  # in standard errors
        return np.mean(stats.norm.sf(limit * spread - difference) + stats.norm.cdf(-limit * spread - difference))

    return float(optimize.brentq(lambda factor: found(factor) - 0.8, 0.1, 100))


def summarise(plan: Plan) -> list[tuple[Row, list[Figure | None]]]:
    """The figures of every row, in the order of the table's columns; None where no seed has one."""
    found = [[{} for _ in plan.table.columns] for _ in plan.rows]
    for test in plan.tests:
        if test.is_done():
            metrics = json.loads(test.metrics.read_text())
            for cell, key in zip(found[plan.rows.index(test.row)], plan.table.columns.values()):
                name, _, metric = key.rpartition(': ')
                if metric in metrics and name in ('', test.name):
                    cell[test.training.seed] = metrics[metric]
    bases = {row.resolution: cells for row, cells in zip(plan.rows, found) if row.method == plan.table.base}
    summary = []
    for row, cells in zip(plan.rows, found):
        figures = []
        for i, values in enumerate(cells):
            is_base = row.method == plan.table.base or row.resolution not in bases
            change = (None, None) if is_base else paired_difference(values, bases[row.resolution][i])
            figures.append(Figure(values, *change, row.paper[i] if row.paper else None) if values else None)
        summary.append((row, figures))
    return summary


def _markdown(plan: Plan, summary) -> str:
    columns = list(plan.table.columns)
    with_paper = any(row.paper for row in plan.rows)
    head = ['Resolution', 'Method']
    for column in columns:
        head += [column, f'to {plan.table.base.lower()}', *['paper'] * with_paper]
    lines = [f'| {" | ".join(head)} |', f'|{"---|" * len(head)}']
    for row, figures in summary:
        cells = [row.resolution, row.method]
        for i, figure in enumerate(figures):
            if figure is None:
                cells += ['', '']
            else:
                few = f' ({len(figure.values)} of {len(plan.seeds)})' if len(figure.values) < len(plan.seeds) else ''
                cells += [f'{figure.text}{few}', figure.gain]
            if with_paper:
                cells.append(f'{row.paper[i]:.2f}' if row.paper else '')
        lines.append(f'| {" | ".join(cells)} |')
    seeds = ', '.join(map(str, plan.seeds))
    note = (
        f'Seeds {seeds}: mean ± standard deviation, difference to {plan.table.base.lower()} of the same resolution ± '
        'half its 95 % confidence interval (paired by seed); in brackets, of how many seeds where some are missing. '
        f'A true difference of {detectable(len(plan.seeds)):.1f} times that half is found by four of five such '
        'experiments.'
        if len(plan.seeds) > 1
        else f'Seed {seeds}, difference to {plan.table.base.lower()} of the same resolution; one seed has no spread.'
    )
    return '\n'.join([plan.table.title, '', *lines, '', note])


def _answers_markdown(plan: Plan, answers) -> str:
    base = plan.table.base.lower()
    head = 'Resolution', 'Method', f'to {base}', f'only it is right, only {base}', 'p'
    lines = [f'| {" | ".join(head)} |', f'|{"---|" * len(head)}']
    for row, found in answers:
        counts = ', '.join(f'{found.gained[seed]}:{found.lost[seed]}' for seed in found.gained)
        p = ', '.join(f'{value:.2g}' for value in found.p.values())
        cells = row.resolution, row.method, f'{found.difference:+.2f} ± {found.interval:.2f}', counts, p
        lines.append(f'| {" | ".join(cells)} |')
    note = (
        f'The same tests answer by answer: difference to {base} in points, averaged over the seeds ± half its 95 % '
        'confidence interval over the items of the test; then seed by seed the answers that differ, and the p-value of '
        "McNemar's exact test. It says how sure the difference of these networks is; the table above, that of others."
    )
    return '\n'.join(['', '', *lines, '', note])


def save_results(plan: Plan, folder: Path, about: dict) -> str:
    """Write `<table>.md`, `.csv` and `.json`; the JSON holds every seed's figure.

    Where the tests have left their single answers, as verification does, rows are also compared answer by answer.

    Args:
        plan: What was run.
        folder: Where the files go.
        about: What else the JSON should say: command, machine, versions.

    Returns:
        The table in Markdown.
    """
    summary = summarise(plan)
    text = _markdown(plan, summary)
    answers = list(answers_of(plan))
    if answers:
        text += _answers_markdown(plan, answers)
    table = io.StringIO()
    writer = csv.writer(table, lineterminator='\n')
    names = 'resolution', 'method', 'column', 'seeds', 'mean', 'std', 'difference', 'interval', 'paper'
    writer.writerow(names)
    records = []
    for row, figures in summary:
        for column, figure in zip(plan.table.columns, figures):
            if figure:
                record = [row.resolution, row.method, column, len(figure.values), figure.mean, figure.std]
                record += [figure.difference, figure.interval, figure.paper]
                writer.writerow(record)
                records.append(dict(zip(names, record)) | dict(seeds=figure.values))
    compared = [dict(resolution=row.resolution, method=row.method, **asdict(found)) for row, found in answers]
    path = folder / plan.table.name
    replace_text(path.with_suffix('.md'), text + '\n')
    replace_text(path.with_suffix('.csv'), table.getvalue())
    replace_text(
        path.with_suffix('.json'),
        json.dumps(dict(about, title=plan.table.title, figures=records, answers=compared), indent=1),
    )
    return text
