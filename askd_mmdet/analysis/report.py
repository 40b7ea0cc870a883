"""The report: one HTML file that opens anywhere and asks nobody for anything."""

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

from askd_mmdet.analysis.curves import cost_table, plot_correlations_over_epochs, plot_losses, plot_metrics
from askd_mmdet.analysis.plots import encode
from askd_mmdet.analysis.runs import Group, differences
from askd_mmdet.analysis.tables import base_of, difference, main_metric, metrics_of, results_table, short_names
from askd_mmdet.training.files import replace_text
from askd_mmdet.version import __version__

TEMPLATE = Path(__file__).with_name('report.html')
# Pixels of a picture in the report, which shall stay small enough for a mail.
_WIDTH, _QUALITY = 420, 82


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
    """Pictures of one size between which a slider moves; `left` and `right` are shown first."""

    caption: str
    layers: Sequence[Layer]
    left: str
    right: str


@dataclass(frozen=True)
class Part:
    """A table, charts or pictures, with a sentence that says how to read it."""

    read: str
    title: str = ''
    table: Table | None = None
    charts: Sequence[str] = ()
    pairs: Sequence[Pair] = ()


@dataclass
class Section:
    name: str
    title: str
    parts: list[Part] = field(default_factory=list)


def picture_uri(image: np.ndarray) -> str:
    """A picture, BGR uint8 (H, W, 3), no wider than the report wants it, as a data URI."""
    if image.shape[1] > _WIDTH:
        height = max(1, round(image.shape[0] * _WIDTH / image.shape[1]))
        image = cv2.resize(image, (_WIDTH, height), interpolation=cv2.INTER_AREA)
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


def answer(groups: Sequence[Group]) -> list[str]:
    """Which network is better, by how much and how sure that is: a sentence for each that has a base."""
    metrics = metrics_of(groups)
    metric = main_metric(groups, metrics)
    if metric is None:
        return ['There is no metric yet: none of these runs has been validated or tested.']
    name = short_names(metrics)[metric]
    found = [difference(group, base, metric) for group in groups if (base := base_of(group, groups)) is not None]
    sentences = [f'By {name}: {each}' for each in found if each]
    return sentences or [
        'Nothing to compare: no two of these networks are of one resolution, one of them a base without distillation.'
    ]


def results_section(groups: Sequence[Group]) -> Section:
    metrics = metrics_of(groups)
    section = Section('results', 'Results')
    if metrics:
        head, rows = results_table(groups, metrics)
        read = (
            'Each row is a network, each figure its metric in % (mean ± standard deviation over seeds). "To base" is '
            'what it has more than the network of its resolution that learnt without a teacher, with half the 95 % '
            'confidence interval: where that is the larger number, the difference may be chance.'
        )
        section.parts.append(Part(read, table=Table(head, rows, range(1, len(head)))))
    else:
        section.parts.append(Part('None of these runs has been validated or tested yet.'))
    return section


def training_section(groups: Sequence[Group]) -> Section:
    """How the trainings went."""
    section = Section('training', 'Training')
    section.parts += charts(
        'Losses',
        'Lower is better fitted to the training pictures, not better: only networks with the same loss compare. Thin '
        'lines are single seeds.',
        plot_losses(groups),
    )
    section.parts += charts(
        'Validation',
        'Higher is better; where the lines still rise at their right end, the training was too short.',
        plot_metrics(groups),
    )
    section.parts += charts(
        'Attention of student and teacher during training',
        'Pearson correlation between the maps of student and teacher: 1 where the student looks exactly where the '
        'teacher looks, 0 where it looks elsewhere.',
        plot_correlations_over_epochs(groups),
    )
    head, rows = cost_table(groups)
    read = (
        'What a training step takes, median over all steps; a distilled step also runs the teacher. Other work on the '
        'machine makes it longer.'
    )
    section.parts.append(Part(read, 'Speed and memory', table=Table(head, rows, (1, 2))))
    return section


def settings_section(groups: Sequence[Group]) -> Section:
    """What was run."""
    section = Section('settings', 'What was run')
    rows = [
        (
            group.label,
            run.folder,
            run.seed,
            run.state,
            _data(run.cfg),
            run.files.get(run.epochs_done, Path('none')).name,
        )
        for group in groups
        for run in group.runs
    ]
    head = ['network', 'folder', 'seed', 'state', 'data', 'weights']
    section.parts.append(Part('A row for each training.', table=Table(head, rows)))
    if different := differences(groups):
        head = ['setting', *(group.label for group in groups)]
        rows = [(name, *('' if value is None else value for value in values)) for name, values in different]
        read = 'All other settings are the same; an empty cell means that the network has no such setting.'
        section.parts.append(Part(read, 'Settings that differ', table=Table(head, rows)))
    return section


def _data(cfg):
    datasets = [(cfg.get(f'{part}_dataloader') or {}).get('dataset') or {} for part in ('train', 'test')]
    return ', '.join(
        dict.fromkeys(str(dataset.get('data_root') or dataset.get('ann_file', '')) for dataset in datasets)
    )


def render(title: str, groups: Sequence[Group], sections: Sequence[Section]) -> str:
    """The report as HTML. Whatever stands in names and settings is text, never markup."""
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    states = [f'{group.label}, seed {run.seed}: {run.state}' for group in groups for run in group.runs]
    unfinished = [state for state in states if not state.endswith('finished')]
    return environment.from_string(TEMPLATE.read_text()).render(
        title=title,
        subtitle=f'{len(states)} trainings of {len(groups)} networks, {groups[0].first.task}; '
        f'written {datetime.now():%Y-%m-%d %H:%M}.',
        answer=[*answer(groups), *(f'Not finished: {state}.' for state in unfinished)],
        sections=[section for section in sections if section.parts],
        footer=f'askd_mmdet {__version__}, torch {torch.__version__}, Python {platform.python_version()}; '
        f'{shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])}',
    )


def write_report(path: Path, title: str, groups: Sequence[Group], sections: Sequence[Section]) -> None:
    """Write the report whole or not at all."""
    replace_text(path, render(title, groups, sections))
