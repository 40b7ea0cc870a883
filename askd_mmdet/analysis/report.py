"""The report: what was run, which network is better, how sure that is, where it looks and what it finds."""

from collections.abc import Sequence
from pathlib import Path

from askd_mmdet.analysis.curves import (
    cost_table,
    metric_table,
    plot_correlations_over_epochs,
    plot_losses,
    plot_metrics,
)
from askd_mmdet.analysis.page import Part, Section, Table, charts, render
from askd_mmdet.analysis.runs import Group, differences, find_runs, group_runs
from askd_mmdet.analysis.sections import Options, attention_section, detection_section, sweep_section
from askd_mmdet.analysis.tables import base_of, difference, main_metric, metrics_of, results_table, short_names
from askd_mmdet.training.config import DATA
from askd_mmdet.training.files import replace_text


def report(paths: Sequence[Path], out: Path, options: Options, data: str | None = None) -> list[str]:
    """Write the report on some runs, whole or not at all.

    Args:
        paths: See :func:`find_runs`.
        out: The file.
        options: What it shows.
        data: The folder of the data sets, where the runs' configs call it `data`.

    Returns:
        What could not be shown, and why, in a sentence each.

    Raises:
        FileNotFoundError, ValueError: See :func:`find_runs`.
    """
    groups = group_runs(find_runs(list(paths), data or DATA))
    sections = [results_section(groups)]
    usable = [Group(group.label, runs) for group in groups if (runs := [run for run in group.runs if run.files])]
    left_out = [
        f'left out but for results and curves: {group.label}: {group.first.folder} has no weights (epoch_*.pth)'
        for group in groups
        if not any(run.files for run in group.runs)
    ]
    shown = [attention_section, sweep_section]
    if groups[0].first.task == 'detection':
        shown.insert(0, detection_section)
    for section in shown:
        # Of what is missing here, data or weights, the rest of the report does not depend.
        try:
            sections += section(usable, options)
        except (OSError, ValueError) as error:
            name = section.__name__.partition('_')[0]
            left_out.append(f'left out: {name}: {error}')
            sections.append(Section(name, name.capitalize(), [Part(f'Left out: {error}')]))
    title = options.title or ', '.join(group.label for group in groups[:4]) + ', ...' * (len(groups) > 4)
    states = [f'{group.label}, seed {run.seed}: {run.state}' for group in groups for run in group.runs]
    subtitle = f'{len(states)} trainings of {len(groups)} networks, {groups[0].first.task}'
    unfinished = [f'Not finished: {state}.' for state in states if not state.endswith('finished')]
    found = [sentence for section in sections for sentence in section.answer]
    page = render(
        title,
        subtitle,
        [*answer(groups), *found, *unfinished],
        [*sections, training_section(groups), settings_section(groups)],
    )
    replace_text(out, page)
    return left_out


def answer(groups: Sequence[Group]) -> list[str]:
    """Which network is better, by how much and how sure that is: a sentence for each that has a base."""
    metrics = metrics_of(groups)
    metric = main_metric(groups, metrics)
    if metric is None:
        return ['There is no metric yet: none of these runs has been validated or tested.']
    name = short_names(metrics)[metric]
    found = [difference(group, base, metric) for group in groups if (base := base_of(group, groups)) is not None]
    sentences = [f'By {name}: {each}' for each in found if each]
    if sentences:
        return sentences
    if found:
        return [f'Nothing to compare: no network has the {name} of a seed of which its base has it.']
    return [
        'Nothing to compare: no two of these networks have one resolution, architecture and data, one of them being a '
        'base without distillation.'
    ]


def results_section(groups: Sequence[Group]) -> Section:
    metrics = metrics_of(groups)
    section = Section('results', 'Results')
    if metrics:
        head, rows = results_table(groups, metrics)
        read = 'Each row is a network, each figure its metric in %; the first one decides.'
        if any(len(group.runs) > 1 for group in groups):
            read += (
                ' Figures are means ± standard deviations over seeds, gains have half their 95 % confidence interval: '
                'where that is the larger number, the gain may be chance.'
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
        'How well a network fits its training pictures; the total of a distilled network contains the distance to its '
        'teacher as well, so it lies above others.',
        plot_losses(groups),
    )
    section.parts += charts(
        'Validation',
        'Higher is better; where the lines still rise at their right end, the training was too short.',
        plot_metrics(groups),
    )
    validated = [name for group in groups for run in group.runs for each in run.validations.values() for name in each]
    if metric := main_metric(groups, validated):
        head, rows = metric_table(groups, metric)
        read = f'The same in figures, {metric}: means over seeds, in brackets the difference to the base.'
        section.parts.append(Part(read, table=Table(head, rows, range(1, len(head)))))
    section.parts += charts(
        'Attention of student and teacher during training',
        'Pearson correlation between the maps of student and teacher: 1 for the same pattern, 0 for none of it.',
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
            run.versions,
        )
        for group in groups
        for run in group.runs
    ]
    head = ['network', 'folder', 'seed', 'state', 'data', 'weights', 'trained with']
    section.parts.append(Part('A row for each training.', table=Table(head, rows)))
    if different := differences(groups):
        head = ['setting', *(group.label for group in groups)]
        rows = [(name, *('' if value is None else value for value in values)) for name, values in different]
        shared = [row for row in rows if '' not in row]
        alone = [row for row in rows if '' in row]
        if shared:
            read = 'All others are the same, but for those that only some of the networks have.'
            section.parts.append(Part(read, 'Settings that differ', Table(head, shared)))
        if alone:
            section.parts.append(Part('', 'Settings that only some have', Table(head, alone), folded=True))
    return section


def _data(cfg):
    datasets = [(cfg.get(f'{part}_dataloader') or {}).get('dataset') or {} for part in ('train', 'test')]
    return ', '.join(
        dict.fromkeys(str(dataset.get('data_root') or dataset.get('ann_file', '')) for dataset in datasets)
    )
