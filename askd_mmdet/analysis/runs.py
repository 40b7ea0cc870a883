"""What training runs left behind: settings, losses, metrics, checkpoints. Nothing is trained and nothing written."""

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from mmengine.config import Config

from askd_mmdet.degradation.pipelines import degradation_of
from askd_mmdet.experiments.plan import task_of
from askd_mmdet.training.checkpoint import read_checkpoint
from askd_mmdet.training.config import DATA, evaluators_of, load_config, moved, type_name
from askd_mmdet.training.files import walk
from askd_mmdet.training.launch import distillation_of

# What the tables call the losses.
METHODS = {
    'AttentionSimilarityLoss': 'A-SKD',
    'AttentionTransferLoss': 'AT',
    'ChannelWiseLoss': 'CWD',
    'ClassRelationLoss': 'DIST',
    'FeatureLoss': 'F-KD',
    'FeatureSimilarityLoss': 'F-SKD',
    'HybridOrderRelationLoss': 'HORKD',
    'LogitLoss': 'KD',
    'MaskedGenerationLoss': 'MGD',
    'NormalisedFeatureLoss': 'PKD',
    'RelationLoss': 'RKD',
}
# Seconds without a word in the log, after which nobody trains there any more.
_SILENCE = 15 * 60
# Metrics that are none: what MMEngine logs beside them.
_ASIDE = ('data_time', 'time', 'step', 'epoch', 'iter', 'lr')


@dataclass(frozen=True, eq=False)
class Run:
    """A folder that `askd train` wrote, and the folders of its tests below it.

    Attributes:
        folder: The work directory.
        cfg: The config it was trained with.
        steps: What was logged of training steps, by step: losses, seconds (`time`), megabytes (`memory`) where there
            is a GPU, `epoch`.
        validations: Metrics by epoch; those of the correlation hook are among them.
        tests: Metrics and config by the name of the test, whose folder below has `metrics.json`, as `askd table` and
            `askd test --out` write it. Those from before the newest start of the training are not read, as they are of
            other weights.
        files: The newest file of each epoch's weights.
        spoken: When it logged last, in seconds of the epoch.
    """

    folder: Path
    cfg: Config
    steps: dict[int, dict] = field(default_factory=dict)
    validations: dict[int, dict] = field(default_factory=dict)
    tests: dict[str, tuple[dict, Config]] = field(default_factory=dict)
    files: dict[int, Path] = field(default_factory=dict)
    spoken: float = 0

    @classmethod
    def read(cls, folder: str | Path, data: str = DATA) -> 'Run':
        """Read a run.

        Args:
            folder: Its work directory.
            data: Stands in for the folder `data` in the paths of its config.

        Raises:
            FileNotFoundError: When the folder is none of a run.
            ValueError: When its config cannot be read.
        """
        folder = Path(folder)
        trainings = sorted(path.parents[1] for path in folder.glob('*/vis_data/config.py'))
        if not trainings:
            raise FileNotFoundError(f'{folder} is no run: it has no <time>/vis_data/config.py, which askd train writes')
        logs = [(start, list(_lines(start / 'vis_data/scalars.json'))) for start in trainings]
        # Tests may have been logged there as well.
        trained = [start for start, lines in logs if any('iter' in line for line in lines)]
        start = (trained or trainings)[-1]
        tests = dict(_tests(folder, start.name))
        spoken = max((path.stat().st_mtime for path in folder.glob('*/vis_data/*.json')), default=0)
        cfg = _config(start)
        cfg = Config(moved(cfg.to_dict(), data), filename=cfg.filename)
        run = cls(folder, cfg, tests=tests, files=_checkpoints(folder), spoken=spoken)
        for start, lines in logs:
            if start in trained:
                run._take(lines)
        return run

    def _take(self, lines):
        """The log of one start; what an earlier one logged of the same steps is forgotten."""
        first = next(line for line in lines if 'iter' in line)
        for known, start in ((self.steps, first['iter']), (self.validations, first.get('epoch', 1))):
            for step in [step for step in known if step >= start]:
                del known[step]
        for line in lines:
            if 'iter' in line:
                self.steps[line['iter']] = line
            else:
                metrics = in_percent({key: value for key, value in line.items() if key not in _ASIDE})
                self.validations.setdefault(line['step'], {}).update(metrics)

    @property
    def epochs(self) -> int:
        """How many epochs it was to train."""
        return (self.cfg.get('train_cfg') or {}).get('max_epochs', 0)

    @property
    def epochs_done(self) -> int:
        """The newest epoch that has left a checkpoint."""
        return max(self.files, default=0)

    @property
    def state(self) -> str:
        """'finished', 'still going' or 'interrupted', the last two with the epoch."""
        if self.epochs_done >= self.epochs > 0:
            return 'finished'
        going = time.time() - self.spoken < _SILENCE
        return f'{"still going" if going else "interrupted"}, epoch {self.epochs_done} of {self.epochs}'

    @property
    def checkpoint(self) -> Path:
        """The newest weights.

        Raises:
            FileNotFoundError: When there are none.
        """
        if not self.files:
            raise FileNotFoundError(f'{self.folder} has no checkpoint (epoch_*.pth): train it on, or leave it out')
        return self.files[self.epochs_done]

    @cached_property
    def classes(self) -> tuple[str, ...] | None:
        """The names of the classes in the order of the network's outputs, where the checkpoint says so."""
        found = read_checkpoint(self.checkpoint).get('meta', {}).get('dataset_meta') or {}
        return tuple(found['classes']) if found.get('classes') else None

    @property
    def task(self) -> str:
        """'detection', 'recognition' or 'classification'."""
        return task_of(self.cfg)

    @cached_property
    def versions(self) -> str:
        """Of torch and MMEngine at the newest start, as its log says."""
        logs = sorted(self.folder.glob('*/*.log'))
        head = logs[-1].read_text(errors='replace')[:20_000] if logs else ''
        found = (re.search(rf'^ *{name}: (\S+)$', head, re.MULTILINE) for name in ('PyTorch', 'MMEngine'))
        return ', '.join(f'{name} {match[1]}' for name, match in zip(('torch', 'MMEngine'), found) if match)

    @property
    def home(self) -> Path:
        """Its folder, or that of all seeds where its own is named after one."""
        return self.folder.parent if re.fullmatch(r'seed\d+', self.folder.name) else self.folder

    def is_of(self, checkpoint: str | Path) -> bool:
        """Whether a file of weights is this run's, however that was named; by the names of the folders (of the network,
        where the run's own is that of a seed) where there is nothing any more, as after a move.
        """
        folder, own = Path(checkpoint).expanduser().resolve().parent, self.folder.resolve()
        names = 1 if self.home == self.folder else 2
        return folder == own or (not folder.is_dir() and folder.parts[-names:] == own.parts[-names:])

    @property
    def seed(self) -> int | None:
        return (self.cfg.get('randomness') or {}).get('seed')

    @property
    def resolution(self) -> str:
        return resolution_of(self.cfg)

    @property
    def setting(self) -> str:
        """What it is tested on, and what it was trained on where that is something else: resolution, and recipe unless
        it is the paper's. Only networks of one setting can be compared.

        Example:
            >>> pipelines = [dict(dataset=dict(pipeline=[dict(type='LowResolution', ratio=r)])) for r in (4, [1, 4])]
            >>> Run(Path(), Config(dict(test_dataloader=pipelines[0], train_dataloader=pipelines[1]))).setting
            '4x, trained at 1/4x'
        """
        trained, tested = (degradation_of(self.cfg, split) for split in ('train', 'test'))
        parts = [self.resolution]
        if (recipe := _recipe(tested)) != 'paper':
            parts.append(recipe)
        if (at := _resolution(trained)) != self.resolution:
            parts.append(f'trained at {at}')
        if _recipe(trained) != recipe:
            parts.append(f'trained on {_recipe(trained)}')
        return ', '.join(parts)

    @property
    def kind(self) -> tuple:
        """What runs must share to be compared: setting, network, and the pictures that it learns from and is tested on,
        wherever these lie.
        """
        return self.setting, *self.learns, data_of(self.cfg, 'test')

    @property
    def learns(self) -> tuple:
        """The network, and the pictures that it learns from: those of an HR teacher are the same."""
        return self.cfg['model'], data_of(self.cfg, 'train')

    @property
    def method(self) -> str:
        """As the tables call it: 'HR teacher', 'Base', or the distillation losses."""
        if hook := distillation_of(self.cfg):
            losses = [METHODS.get(type_name(loss), type_name(loss)) for loss in hook.losses.values()]
            return '+'.join(dict.fromkeys(losses))
        return 'HR teacher' if self.resolution == '1x' else 'Base'

    @property
    def metrics(self) -> dict[str, float]:
        """Of its own tests, else of its last validation; none where that measures the same on other pictures."""
        if own := self.tested_at.get(self.resolution):
            return own
        alike = _metrics_of(self.cfg, 'val') == _metrics_of(self.cfg)
        if alike and _seen(self.cfg, 'val') != _seen(self.cfg, 'test'):
            return {}
        last = self.validations[max(self.validations)] if self.validations else {}
        return {key: value for key, value in last.items() if not key.startswith('correlation/')}

    @cached_property
    def tested_at(self) -> dict[str, dict[str, float]]:
        """The metrics of all tests by resolution: an HR teacher is tested on LR pictures as well.

        A test of other pictures or by another recipe than the run's own has its name behind the resolution, unless its
        metrics have names of their own; so has one of other weights than the newest, and one that gives a metric
        another value than the own test or one before.
        """
        found = {}
        parts = 'test_dataloader', 'model'

        def strange(test):
            _, (_, cfg) = test
            return self._is_of_others(cfg), *(cfg.get(part) != self.cfg.get(part) for part in parts)

        for name, (metrics, cfg) in sorted(self.tests.items(), key=strange):
            at = self._tested(cfg)
            others = _tested_on(cfg) != _tested_on(self.cfg) and _metrics_of(cfg) == _metrics_of(self.cfg)
            if others or self._is_of_others(cfg):
                at = f'{at} ({name})'
            if any(found.get(at, {}).get(metric, value) != value for metric, value in metrics.items()):
                at = f'{at} ({name})'
            found.setdefault(at, {}).update(metrics)
        return found

    def _is_of_others(self, cfg):
        """Whether a test names other weights than the newest, wherever the file was then."""
        return bool(self.files and cfg.get('load_from')) and Path(cfg.load_from).name != self.checkpoint.name

    def _tested(self, cfg):
        """The resolution of a test. Only where it degrades as the run's own does, what the training says may stand for
        it: so it is with real LR pictures, but not with an LR network that is tested at 1x.
        """
        at, own = (_resolution(degradation_of(each)) for each in (cfg, self.cfg))
        return resolution_of(cfg) if at == own else at


def _lines(path: Path) -> Iterator[dict]:
    """The lines of a log; one that was cut off says nothing."""
    for text in path.read_text().splitlines() if path.is_file() else ():
        try:
            line = json.loads(text)
        except json.JSONDecodeError:
            continue
        if isinstance(line, dict) and 'step' in line:
            yield line


def _config(start):
    """The config of a start of a training or test.

    Raises:
        ValueError: When it cannot be read.
    """
    path = start / 'vis_data/config.py'
    try:
        return load_config(path)
    except Exception as error:  # a config is code
        raise ValueError(f'{path} cannot be read: {type(error).__name__}: {error}') from error


def _tests(folder: Path, trained: str) -> Iterator[tuple[str, tuple[dict, Config]]]:
    """The tests below a run that were started after its training was, by their names."""
    for path in sorted(folder.glob('*/metrics.json')):
        # Of one that failed, MMEngine has written no metrics beside its log.
        starts = sorted(found.parent for found in path.parent.glob('*/*.json') if (found.parent / 'vis_data').is_dir())
        if starts and starts[-1].name >= trained:  # named after their time
            yield path.parent.name, (in_percent(json.loads(path.read_text())), _config(starts[-1]))


def in_percent(metrics: dict[str, float]) -> dict[str, float]:
    """Those of COCO, which are fractions, in %, as all others are.

    Example:
        >>> in_percent({'coco/bbox_mAP': 0.5, 'wider_face/hard': 50.0})
        {'coco/bbox_mAP': 50.0, 'wider_face/hard': 50.0}
    """
    # -1 stands for no such objects.
    return {name: 100 * value if name.startswith('coco/') and value > 0 else value for name, value in metrics.items()}


def data_of(cfg: Config, split: str) -> dict[str, object]:
    """The settings of the data of 'train', 'val' or 'test' by dotted name, but for what is done to a picture."""
    settings = _wherever((cfg.get(f'{split}_dataloader') or {}).get('dataset') or {})
    return {name: value for name, value in settings.items() if 'pipeline' not in name}


def _wherever(settings):
    """Settings by dotted name. Of folders and files of data the last names count: --data may have moved them."""
    return {name: _last_names(name, value) for name, value in flat(settings)}


def _last_names(name, value):
    if name.endswith('data_root'):
        return Path(value or '').name
    if re.search(r'_evaluator\b.*\.(ground_truth|ann_file)$', name):
        return Path(value or '').parts[-2:]
    return value


def _tested_on(cfg):
    return data_of(cfg, 'test'), _recipe(degradation_of(cfg, 'test'))


def _seen(cfg, split):
    degradation = degradation_of(cfg, split)
    return data_of(cfg, split), _resolution(degradation), _recipe(degradation)


def _metrics_of(cfg, split='test'):
    """What decides the names of the metrics."""
    return [(type_name(metric), metric.get('prefix')) for metric in evaluators_of(cfg, split)]


def _checkpoints(folder):
    numbers = ((re.fullmatch(r'epoch_(\d+)\.pth', path.name), path) for path in folder.glob('epoch_*.pth'))
    return {int(found[1]): path for found, path in numbers if found}


def resolution_of(cfg: Config) -> str:
    """What pictures are degraded to: '1x' (nothing), '4x', '24px', ...

    The test says so, or the training where the test degrades nothing, being on real LR pictures.
    """
    found = (_resolution(degradation_of(cfg, split)) for split in ('test', 'val', 'train'))
    return next((resolution for resolution in found if resolution != '1x'), '1x')


def _recipe(degradation):
    return 'paper' if _resolution(degradation) == '1x' else degradation.get('recipe', 'paper')


def _resolution(degradation):
    for key, unit in (('size', 'px'), ('ratio', 'x')):
        if (value := degradation.get(key, 1)) != 1:
            return '/'.join(map(str, value if isinstance(value, (list, tuple)) else [value])) + unit
    return '1x'


def find_runs(paths: list[Path], data: str = DATA) -> list[Run]:
    """The runs in folders: each may be one, or hold some at any depth, behind links as well, as those of `askd table`
    do.

    Args:
        paths: The folders.
        data: See :meth:`Run.read`.

    Raises:
        FileNotFoundError: When a path holds none.
        ValueError: See :meth:`Run.read`; also when they are not of one task, or know other classes.
    """
    folders = []
    for path in map(Path, paths):
        starts = (place for place, files in walk(path) if place.name == 'vis_data' and 'config.py' in files)
        found = sorted({place.parents[1] for place in starts})
        # A test writes its log into a folder of its own below the run's.
        runs = [folder for folder in found if not any(parent in found for parent in folder.parents)]
        if not runs:
            raise FileNotFoundError(f'no run in {path}: expected the --work-dir of askd train or askd table')
        folders += runs
    # A folder may be named twice, and a link lead to it.
    places = {folder.resolve(): folder for folder in folders}
    runs = [Run.read(folder, data) for folder in places.values()]
    check_alike(runs)
    return runs


def check_alike(runs: list[Run]) -> None:
    """Refuse to compare what cannot be compared.

    Raises:
        ValueError: When runs are of several tasks, or their networks' outputs mean other classes.
    """
    for what, read in (('task', lambda run: run.task), ('classes', lambda run: run.files and run.classes)):
        known = {}
        for run in runs:
            if value := read(run):
                known.setdefault(value, run.folder)
        if len(known) > 1:
            (a, first), (b, second) = list(known.items())[:2]
            raise ValueError(
                f'{first} and {second} cannot stand in one report: their {what} differ, {_short(a)} and {_short(b)}; '
                'name runs of one kind'
            )


def _short(value):
    return value if isinstance(value, str) else f'({", ".join(value[:5])}{", ..." if len(value) > 5 else ""})'


@dataclass(frozen=True, eq=False)
class Group:
    """Runs that differ in nothing but their seed.

    Attributes:
        label: Short, and no other group's.
        runs: By their seed.
    """

    label: str
    runs: list[Run]

    @property
    def first(self) -> Run:
        return self.runs[0]

    def values(self, metric: str) -> dict[int, float]:
        """The metric by seed."""
        return {run.seed: run.metrics[metric] for run in self.runs if metric in run.metrics}


def group_runs(runs: list[Run]) -> list[Group]:
    """Runs by their settings: HR first, then by resolution and what else they were trained on, the base before what is
    compared with it.
    """
    alike: dict[str, list[Run]] = {}
    for run in runs:
        alike.setdefault(json.dumps(compared(run.cfg), sort_keys=True, default=str), []).append(run)
    groups = [group for same in alike.values() for group in _apart(same)]
    ordered = sorted(groups, key=lambda group: _place(group[0]))
    labels = [f'{first.method} {first.setting}' for first, *_ in ordered]
    # Where two would have one name, that of the folder tells them apart, or else a number.
    folders = [f'{label} ({first.home.name})' for label, (first, *_) in zip(labels, ordered)]
    labels = [label if labels.count(label) == 1 else longer for label, longer in zip(labels, folders)]
    labels = [label if labels.count(label) == 1 else f'{label} {i}' for i, label in enumerate(labels, 1)]
    return [
        Group(label, sorted(group, key=lambda run: (run.seed is None, run.seed)))
        for label, group in zip(labels, ordered)
    ]


def _apart(runs):
    """Runs of equal settings, by their folders where a seed comes again: they differ in what is no setting, such as the
    weights of their teachers.
    """
    if len({run.seed for run in runs}) == len(runs):
        return [runs]
    folders = {}
    for run in runs:
        folders.setdefault(run.home, []).append(run)
    return list(folders.values())


def _place(run):
    """Ratios, then sizes in pixels, larger first; of each by setting; of that HR, the base, and the others by name."""
    number = float(re.match(r'[\d.]+', run.resolution)[0])
    order = ['HR teacher', 'Base']
    rank = order.index(run.method) if run.method in order else len(order)
    by_size = run.resolution.endswith('px')
    return by_size, -number if by_size else number, len(run.setting), run.setting, rank, run.method


def compared(cfg: Config) -> dict[str, object]:
    """The settings that make an experiment, by dotted name: all but the seed, and where files are read and written.
    Weights to begin with count, unless they are to go on with.
    """
    begun = cfg.get('load_from') and cfg.get('resume') in (None, False, 'auto')
    left_out = r'^(randomness\.seed|work_dir|launcher|resume)$|\.checkpoint$' + '|^load_from$' * (not begun)
    return {name: value for name, value in _wherever(cfg.to_dict()).items() if not re.search(left_out, name)}


def flat(value, prefix: str = '') -> Iterator[tuple[str, object]]:
    """Settings by dotted name.

    Example:
        >>> dict(flat(dict(a=[dict(b=1), 2], c={})))
        {'a.0.b': 1, 'a.1': 2, 'c': {}}
    """
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, (list, tuple)) else ()
    items = list(items)
    if not items:
        yield prefix, value
    for key, item in items:
        yield from flat(item, f'{prefix}.{key}' if prefix else str(key))


def differences(groups: list[Group]) -> list[tuple[str, list]]:
    """The settings that differ between groups, and their values in each; None where a group lacks one."""
    settings = [compared(group.first.cfg) for group in groups]
    names = sorted(set().union(*settings))
    rows = [(name, [each.get(name) for each in settings]) for name in names]
    return [(name, values) for name, values in rows if len(set(map(str, values))) > 1]
