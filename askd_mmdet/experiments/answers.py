"""Two networks on the same test items: the difference of their right answers, paired item by item."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import stats

from askd_mmdet.experiments.plan import Plan, Row

FILE = 'answers.csv'


@dataclass(frozen=True)
class PairedAnswers:
    """A row's right answers against those of its base, on the items that both answered, from the seeds of both.

    Args:
        difference: In points of accuracy, 100 times the mean over items and seeds of (right - right of the base).
        interval: Half the width of its 95 % confidence interval: how far other items, not other trainings, would move
            it. Of each item the mean over the seeds counts, by Student's t.
        gained: For each seed how many items only the row has right.
        lost: For each seed how many only the base has right.
        p: For each seed the two-sided p-value of McNemar's exact test.
    """

    difference: float
    interval: float
    gained: dict[int, int]
    lost: dict[int, int]
    p: dict[int, float]


def compare_answers(ours: dict[int, dict[int, bool]], base: dict[int, dict[int, bool]]) -> PairedAnswers | None:
    """Compare answers by seed and item; None where no seed has both.

    Example:
        >>> found = compare_answers({0: {1: True, 2: True, 3: False}}, {0: {1: True, 2: False, 3: False}})
        >>> round(found.difference, 1), found.gained, found.lost, found.p
        (33.3, {0: 1}, {0: 0}, {0: 1.0})
    """
    seeds = sorted(ours.keys() & base.keys())
    if not seeds:
        return None
    items = sorted(set.intersection(*(set(answers[seed]) for answers in (ours, base) for seed in seeds)))
    changes = np.array([[int(ours[seed][i]) - int(base[seed][i]) for i in items] for seed in seeds])
    gained, lost = ((changes == sign).sum(1).tolist() for sign in (1, -1))
    p = [stats.binomtest(won, won + fell).pvalue if won + fell else 1.0 for won, fell in zip(gained, lost)]
    mean = changes.mean(0)
    return PairedAnswers(
        difference=100 * float(mean.mean()),
        interval=100 * float(stats.sem(mean) * stats.t.ppf(0.975, len(items) - 1)),
        gained=dict(zip(seeds, gained)),
        lost=dict(zip(seeds, lost)),
        p=dict(zip(seeds, p)),
    )


def answers_of(plan: Plan) -> Iterator[tuple[Row, PairedAnswers]]:
    """The comparison of every row with the base of its resolution, where the table's first test has left answers. Those
    that another test has written there since are left out.
    """
    first = next(iter(plan.table.tests))
    found = [{} for _ in plan.rows]
    for test in plan.tests:
        path = test.work_dir / FILE
        own = test.name == first and test.is_done() and path.is_file()
        if own and path.stat().st_mtime <= test.metrics.stat().st_mtime:
            found[plan.rows.index(test.row)][test.training.seed] = _read(path)
    bases = {row.resolution: answers for row, answers in zip(plan.rows, found) if row.method == plan.table.base}
    for row, answers in zip(plan.rows, found):
        if row.method != plan.table.base and (compared := compare_answers(answers, bases.get(row.resolution, {}))):
            yield row, compared


def _read(path: Path) -> dict[int, bool]:
    columns = path.open().readline().strip().split(',')
    table = np.loadtxt(path, delimiter=',', skiprows=1, ndmin=2)
    return dict(zip(table[:, 0].astype(int).tolist(), table[:, columns.index('right')].astype(bool).tolist()))
