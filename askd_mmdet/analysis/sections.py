"""The sections of a report that run networks, all with weights: where they look, what they find, where they break."""

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from askd_mmdet.analysis import agreement as a
from askd_mmdet.analysis import detections as d
from askd_mmdet.analysis.attention import (
    PicturePairs,
    WatchedNetwork,
    correlate,
    draw_attention,
    shared_taps,
    teacher_of,
)
from askd_mmdet.analysis.correlation import Correlation, plot_correlations
from askd_mmdet.analysis.page import Layer, Pair, Part, Section, Table, charts, picture_uri
from askd_mmdet.analysis.runs import Group, Run, in_percent
from askd_mmdet.analysis.samples import draw_samples
from askd_mmdet.analysis.sweep import plot_sweep, sweep, trained_ratios
from askd_mmdet.analysis.tables import main_metric, metrics_of, short_names
from askd_mmdet.degradation import RECIPES, low_resolution
from askd_mmdet.degradation.pipelines import degradation_of
from askd_mmdet.distillation.maps import last_blocks
from askd_mmdet.progress import track
from askd_mmdet.training.launch import distillation_of
from askd_mmdet.training.pictures import picture_size, read_picture, write_picture

# Pixels: attention is coarse, faces are small.
_ATTENTION_WIDTH, _DETECTION_WIDTH = 260, 480
_TEACHER = 'HR teacher'
_SHEET = 3  # rows


class Options(NamedTuple):
    """What a report shows.

    Attributes:
        title: None for one made of the networks' names.
        pictures: A folder of pictures to show attention on; test pictures by default.
        show: How many pictures are shown of each kind.
        sample: How many test pictures are looked at, at most.
        seed: Of what is drawn.
        ratios: Of the resolution sweep; none leaves it out.
        device: Of the networks.
        sheet: Also write what detectors find in the first of the pictures, in the last setting, as a picture.
    """

    title: str | None = None
    pictures: Path | None = None
    show: int = 6
    sample: int = 200
    seed: int = 0
    ratios: tuple[int, ...] = (1, 2, 4, 8, 16, 32)
    device: str | None = None
    sheet: Path | None = None


def by_kind(groups: Sequence[Group]) -> Iterator[tuple[str, list[Group]]]:
    """The LR networks that can be compared, and what these are called: their setting, with the name of
    the first one where several have it.
    """
    kinds: list[list[Group]] = []
    for group in groups:
        if group.first.method != _TEACHER:
            same = next((same for same in kinds if same[0].first.kind == group.first.kind), None)
            if same is None:
                kinds.append(same := [])
            same.append(group)
    settings = [same[0].first.setting for same in kinds]
    for setting, same in zip(settings, kinds):
        yield setting if settings.count(setting) == 1 else f'{setting}, {same[0].first.home.name}', same


def _anchor(kind, setting):
    """What the page calls a section: a name without what an address may not have."""
    return f'{kind}-{re.sub("[^a-z0-9]+", "-", setting)}'


def teacher_run(run: Run, groups: Sequence[Group]) -> Run | None:
    """The HR network that a run learned from, or else one that learned from the same pictures, if possible
    from the same seed; None where there is none.
    """
    found = [hr for group in groups if group.first.method == _TEACHER for hr in group.runs]
    hook = distillation_of(run.cfg)
    own = [hr for hr in found if hook and hook.checkpoint and hr.is_of(hook.checkpoint)]
    alike = sorted((hr for hr in found if hr.learns == run.learns), key=lambda hr: hr.seed != run.seed)
    return next(iter([*own, *alike]), None)


def attention_section(groups: Sequence[Group], options: Options) -> list[Section]:
    """Where the networks look (figs. 2, 4 and 5): LR samples, maps over pictures, correlations with the teacher."""
    sections = []
    for setting, same in by_kind(groups):
        section = Section(_anchor('attention', setting), f'Where the networks look at {setting}')
        settings = dict(seed=options.seed, pictures=options.pictures)
        shown = list(PicturePairs(same[0].first.cfg, -(-options.show // 2), **settings))  # each is shown for all stages
        if not sections:  # the same for all resolutions
            used = {degradation_of(run.cfg).get('recipe') for group in groups for run in group.runs}
            recipes = [recipe for recipe in RECIPES if recipe in ('paper', 'authors', *used)]
            section.parts.append(
                Part(
                    'One picture at every resolution: what a network has to go by. The recipe of the paper averages, '
                    "that of its authors' code keeps single pixels"
                    + ('. Some networks here are tested on what cameras deliver.' if len(recipes) > 2 else '.'),
                    'What low resolution leaves',
                    charts=[picture_uri(draw_samples(shown[0].hr, recipes=recipes), 1000)],
                )
            )
        taps = shared_taps([run.cfg for group in same for run in group.runs])
        if teachers := _teachers(groups, same, options.device, taps):
            pairs = PicturePairs(same[0].first.cfg, options.sample, **settings)
            found, networks = {}, []
            for group in same:
                for run in group.runs:
                    if run in teachers:
                        network = WatchedNetwork(run.cfg, run.checkpoint, options.device, taps, group.label)
                        progress = partial(track, what=f'correlating {group.label}, seed {run.seed}')
                        found[run] = correlate(teachers[run], network, pairs, progress)
                        networks += [network] if run is group.first else []
            section.parts += _correlations(same, found, pairs, section.answer)
            section.parts += _agreement(setting, same, found, section.answer)
            section.parts += _maps(teachers[same[0].first], networks, shown)
        else:
            section.parts.append(
                Part(
                    'Where they look is not shown: there is no HR teacher of their kind among these runs, and none '
                    'that they name is there.'
                )
            )
        sections.append(section)
    return sections


def _teachers(groups, same, device, taps):
    """The teacher of each run: that of `teacher_run`, else of its config, else of others of its kind."""
    runs = [run for group in same for run in group.runs]
    teachers = {run: teacher_run(run, groups) for run in runs}
    watched = {
        hr: WatchedNetwork(hr.cfg, hr.checkpoint, device, taps, _TEACHER)
        for hr in dict.fromkeys(teachers.values())
        if hr
    }
    found = {run: watched[hr] if (hr := teachers[run]) else _named(run, device, taps) for run in runs}
    known = next(filter(None, found.values()), None)
    return {run: teacher or known for run, teacher in found.items()} if known else {}


def _named(run, device, taps):
    """The teacher that a student's config names, if it is still there."""
    try:
        return teacher_of(run.cfg, device, _TEACHER, taps)
    except FileNotFoundError:
        return None


def _agreement(setting, same, found, answer):
    """Whether a better correlation goes with a better result, over all seeds."""
    metric = main_metric(same, metrics_of(same))
    trainings = [
        a.Agreement(group.label, run.seed, a.mean_correlations(found[run]), run.metrics[metric])
        for group in same
        for run in group.runs
        if run in found and metric in run.metrics
    ]
    if len(trainings) < a.FEWEST:
        return []
    name = short_names(metrics_of(same))[metric]
    answer += a.describe(trainings, name, setting)
    kinds = list(dict.fromkeys(kind for each in trainings for kind in each.r))
    rows = [
        [
            each.label,
            each.seed,
            *(f'{each.r[kind]:.3f}' if kind in each.r else '' for kind in kinds),
            f'{each.result:.2f}',
        ]
        for each in trainings
    ]
    read = (
        f'A point is a training: to the right, maps that agree with those of its teacher; up, a better {name}. Where '
        'the points rise, those that look alike do better; that the one makes the other they do not say. Trainings of '
        'one network from several seeds are less apart than others, so p is rather too small.'
    )
    return [
        *charts('Do those who look where the teacher looks do better?', read, [a.plot_agreement(trainings, name)]),
        Part('The same in figures.', table=Table(['network', 'seed', *kinds, name], rows, range(1, len(kinds) + 3))),
    ]


def _correlations(same, found, pairs, answer):
    panels, rows, taps, means = {}, [], [], {}
    for group in same:
        runs = [found[run] for run in group.runs if run in found]
        means[group.label] = seed_means(runs)
        for kind, by_tap in found[group.first].items():
            panels[f'{group.label}, {kind}'] = stages = last_blocks({kind: by_tap})[kind]
            rows.append([group.label, kind, len(runs), *(_r(means[group.label][kind, stage]) for stage in stages)])
            taps += [[group.label, kind, tap, _r(each.r)] for tap, each in by_tap.items()]
    read = (
        f'Pearson correlation between the maps of the teacher, which sees HR, and of each network, which sees LR, over '
        f'{len(pairs) - len(pairs.unreadable)} pictures, mean over seeds: 1 means the same pattern, be it weaker or '
        'stronger, 0 none of it. A spatial map says where in the picture, a channel map which features count.'
    )
    if len(same) > 1:
        first, last = means[same[0].label], means[same[-1].label]
        known = [place for place in first if None not in (first[place], last.get(place))]
        closer = sum(last[place] > first[place] for place in known)
        answer.append(
            f'{same[-1].label} looks more like the teacher than {same[0].label} does in {closer} of '
            f'{len(known)} correlations of their attention maps.'
        )
    head = ['network', 'map', 'seeds', *max((list(stages) for stages in panels.values()), key=len)]
    rows = [row + [''] * (len(head) - len(row)) for row in rows]
    histograms = (
        'The same as pictures, of the first seed: each panel counts how often a value of the teacher (across) met a '
        'value of the network (up). On the diagonal both are equal; a narrow band means agreement.'
    )
    read_taps = 'Every layer that has a map, of the first seed.'
    return [
        Part(read, 'Does it look where the teacher looks?', Table(head, rows, range(2, len(head)))),
        *charts('', histograms, [plot_correlations(panels)], 'png'),
        Part(read_taps, 'All layers', Table(['network', 'map', 'layer', 'r'], taps, [3]), folded=True),
    ]


def seed_means(trainings: Sequence[dict[str, dict[str, Correlation]]]) -> dict[tuple[str, str], float | None]:
    """The mean over trainings of what `correlate` gives for each stage's last maps; None where one of them has none."""
    found = {}
    for each in map(last_blocks, trainings):
        for kind, stages in each.items():
            for stage, correlation in stages.items():
                found.setdefault((kind, stage), []).append(correlation.r)
    return {place: None if None in rs else float(np.mean(rs)) for place, rs in found.items()}


def _r(r: float | None) -> str:
    return 'undefined: a constant map' if r is None else f'{r:.3f}'


def _maps(teacher, networks, shown):
    """A part for each stage."""
    seen = []
    for pair in shown:
        maps = {network.label: last_blocks(network.maps([pair.inputs])).get('spatial', {}) for network in networks}
        seen.append({teacher.label: last_blocks(teacher.maps([pair.hr_inputs])).get('spatial', {}), **maps})
    parts = []
    for stage in seen[0][teacher.label]:
        pairs = []
        for pair, maps in zip(shown, seen):
            drawn = draw_attention(pair.hr, {label: stages[stage] for label, stages in maps.items()})
            alone = {f'{label}, map alone': image for label, image in drawn.alone.items()}
            pictures = {'HR': pair.hr, **drawn.over, 'LR': pair.lr, **alone}
            layers = [Layer(name, picture_uri(image, _ATTENTION_WIDTH)) for name, image in pictures.items()]
            pairs.append(Pair(pair.name, layers, columns=len(maps) + 1, scale=drawn.limits))
        read = (
            'Yellow: where the network looks most, dark blue: least, over the picture and below it alone, on one scale '
            'for all networks of a picture. The pictures are drawn at random.'
        )
        parts.append(Part(read if not parts else '', f'Spatial attention, {stage}', pairs=pairs))
    return parts


def detection_section(groups: Sequence[Group], options: Options) -> list[Section]:
    """What detectors find (fig. 6): pictures, precision and recall, AP by height, failures."""
    sections = []
    for setting, same in by_kind(groups):
        findings = Findings.of(same, groups, options)
        names = findings.names(options.show)
        pictures = {name: findings.pictures(name, _DETECTION_WIDTH) for name in track(names, 'drawing')}
        sections.append(_detections(setting, findings, pictures))
        if options.sheet:
            write_picture(options.sheet, _sheet(list(pictures.values())[:_SHEET]))
    return sections


def _sheet(pictures):
    """Pictures of several networks side by side; the HR teacher sees another picture, and is left out."""
    rows = [{label: image for label, image in row.items() if not label.startswith(_TEACHER)} for row in pictures]
    return d.draw_sheet([list(row.values()) for row in rows], list(rows[0]))


@dataclass(frozen=True)
class Findings:
    """What detectors of one LR resolution found in the same pictures, and their HR teacher in the HR ones.

    Attributes:
        paths: The pictures by name.
        faces: All faces of the test, see `faces_of`.
        found: By network, then by picture.
        results: Likewise, at each network's own operating point.
        degradation: Of the LR networks' pictures.
        first, last: The networks that are compared: the base, or else the first one, and the last one; a network that
            is alone stands beside its teacher, if that is there.
        has_base: Whether both see LR pictures.
    """

    paths: dict[str, Path]
    faces: dict
    found: dict[str, dict]
    results: dict[str, dict]
    degradation: dict
    first: str
    last: str
    has_base: bool

    @classmethod
    def of(cls, same: Sequence[Group], groups: Sequence[Group], options: Options) -> 'Findings':
        """Run the first seed of each network.

        Raises:
            FileNotFoundError, ValueError: See `detect_all`.
        """
        cfg = same[0].first.cfg
        hr = teacher_run(same[-1].first, groups)
        runs = {**({f'{_TEACHER} on HR': hr} if hr else {}), **{group.label: group.first for group in same}}
        paths, faces = d.pictures_of(cfg, options.sample, options.seed), d.faces_of(cfg)
        found = {label: d.detect_all(run.cfg, run.checkpoint, paths, options.device) for label, run in runs.items()}
        results = {label: d.all_outcomes(each, faces, d.operating_point(each, faces)) for label, each in found.items()}
        has_base = len(same) > 1
        first = same[0].label if has_base else next(iter(runs))
        return cls(paths, faces, found, results, degradation_of(cfg), first, same[-1].label, has_base)

    @cached_property
    def sizes(self) -> dict[str, tuple[int, int]]:
        """Width and height of the pictures that can be read."""
        found = {}
        for name, path in self.paths.items():
            with suppress(OSError, ValueError):
                read_picture(path)
                found[name] = picture_size(path)
        return found

    @property
    def ratio(self) -> float:
        return self.degradation.get('ratio', 1)

    def names(self, count: int) -> list[str]:
        """The pictures in which the two networks differ most; the fullest ones where they differ nowhere."""
        first, last = self.results[self.first], self.results[self.last]
        different = [name for name, _ in d.most_different(first, last, count)]
        return different or sorted(self.sizes, key=lambda name: -len(first[name].faces))[:count]

    def pictures(self, name: str, width: int) -> dict[str, np.ndarray]:
        """HR with its faces, LR, and LR with what each network finds: BGR, `width` pixels wide.

        Of larger pictures it is the part where the two networks differ, or small faces would vanish.
        """
        hr = read_picture(self.paths[name])
        lr = low_resolution(hr, **self.degradation)
        truth = self.results[self.first][name]
        area = d.area_of_difference(truth, self.results[self.last][name], hr.shape[:2], min(1, width / hr.shape[1]))
        zoom = max(1, width / hr.shape[1])
        nothing = np.zeros((0, 4)), np.zeros(0, bool)
        return {
            'HR, all faces': d.draw_ground_truth(hr, truth.faces, truth.counts, zoom, area),
            'LR': d.draw_ground_truth(lr, *nothing, zoom, area),
            **{label: d.draw_outcomes(lr, each[name], zoom, area) for label, each in self.results.items()},
        }

    def caption(self, name: str) -> str:
        """What each network finds in a picture, in numbers."""
        numbers = (
            f'{label} finds {each[name].hit.sum()}, {each[name].false_alarm.sum()} false'
            for label, each in self.results.items()
        )
        return f'{Path(name).name}: {self.results[self.first][name].counts.sum()} faces; {", ".join(numbers)}'


def _detections(setting, findings, pictures):
    section = Section(_anchor('detections', setting), f'What they find at {setting}')
    found, faces, results = findings.found, findings.faces, findings.results
    if findings.has_base:
        mean, low, high = d.difference_over_pictures(found[findings.first], found[findings.last], faces)
        section.answer.append(
            f'How much of it is the luck of the pictures: for the first seeds of {findings.last} and {findings.first} '
            f'the difference in hard AP is {mean:+.1f} points on {len(findings.paths)} pictures, and {low:+.1f} to '
            f'{high:+.1f} in 95 % of 500 draws among them (bootstrap).'
        )
    section.parts += charts(
        'Precision and recall',
        'Recall: the share of faces that is found; precision: the share of what is found that is a face; on '
        f'{len(findings.paths)} pictures. The further up and right, the better.',
        [d.plot_precision_recall(d.precision_recall(found, faces))],
    )
    section.parts += charts(
        'How small may a face be?',
        'Average precision for faces of about one height in LR pixels, with their number below. Bins of few faces '
        'say little.',
        [d.plot_by_height(d.average_precision_by_height(found, faces, findings.ratio))],
    )
    rows = [
        [each.kind, each.what, *each.counts.values()] for each in d.failures(results, findings.sizes, findings.ratio)
    ]
    read = (
        'Counted at the score where each network has the best balance of precision and recall on the hard faces. Lower '
        'is better.'
    )
    table = Table(['', '', *results], rows, range(2, len(results) + 2))
    section.parts.append(Part(read, 'Commonest failures', table))
    pairs = [
        Pair(
            findings.caption(name),
            [Layer(label, picture_uri(image, _DETECTION_WIDTH)) for label, image in layers.items()],
            findings.first,
            findings.last,
        )
        for name, layers in pictures.items()
    ]
    read = (
        f'The pictures in which {findings.last} and {findings.first} differ most, gains and losses. Solid blue: found; '
        'dashed yellow: missed; cut corners, orange: false alarm; white corners: a face; grey '
        'bars: does not count. Numbers are scores in %. Move the slider, or choose what lies left and right of it.'
    )
    section.parts.append(
        Part(read, 'Before and after', charts=[picture_uri(d.draw_legend(), _DETECTION_WIDTH)], pairs=pairs)
    )
    return section


def sweep_section(groups: Sequence[Group], options: Options) -> list[Section]:
    """Where networks break: each tested at every ratio."""
    if not options.ratios or not groups:
        return []
    settings = dict(count=options.sample, seed=options.seed, device=options.device)
    results = {}
    for group in groups:
        found = sweep(group.first.cfg, group.first.checkpoint, options.ratios, **settings)
        results[group.label] = {ratio: in_percent(metrics) for ratio, metrics in found.items()}
    known = list(dict.fromkeys(name for points in results.values() for each in points.values() for name in each))
    if not known:
        raise ValueError('these networks have no metric at any ratio: they find nothing')
    # CocoMetric gives none where nothing was found.
    nothing = {name: 0.0 for name in known if name.startswith('coco/')}
    results = {label: {ratio: nothing | each for ratio, each in points.items()} for label, points in results.items()}
    metric = main_metric(groups, [name for name in metrics_of(groups) if name in known] or known)
    rings = {group.label: trained_ratios(group.first.cfg) for group in groups}
    figure = plot_sweep(results, metric, rings)
    head = ['network', *(f'{ratio:g}x' for ratio in options.ratios)]
    rounded = {
        label: {ratio: round(each[metric], 1) for ratio, each in points.items()} for label, points in results.items()
    }
    rows = [[label, *(f'{value:.1f}' for value in points.values())] for label, points in rounded.items()]
    read = (
        f'{short_names([metric])[metric]} of each network on pictures of every resolution, on a sample of at most '
        f'{options.sample}. A line that stays up longer bears lower resolution; the ring marks what the network was '
        'trained for.'
    )
    figures = charts('', read, [figure])
    section = Section('sweep', 'Where they break', [*figures, Part('', table=Table(head, rows, range(1, len(head))))])
    for _, same in by_kind(groups):
        first, last = same[0].label, same[-1].label
        gains = {ratio: rounded[last][ratio] - rounded[first][ratio] for ratio in options.ratios}
        parts = []
        for word, sign in (('ahead', 1), ('behind', -1)):
            if ratios := [f'{ratio:g}x' for ratio, gain in gains.items() if sign * gain > 0]:
                parts.append(f'{word} at {", ".join(ratios)}')
        if parts:
            section.answer.append(
                f'Against {first}, at several resolutions, {last} is {" and ".join(parts)}: one training of each, on '
                f'at most {options.sample} pictures or pairs, so small differences may be luck.'
            )
    return [section]
