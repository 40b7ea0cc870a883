"""From the definition of a table to the trainings and tests that fill it."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from mmengine.config import Config

from askd_mmdet.training.config import (
    CONFIGS,
    DATA,
    check_read,
    evaluators_of,
    find_config,
    load_config,
    moved,
    type_name,
)
from askd_mmdet.training.launch import distillation_of


@dataclass(frozen=True)
class Row:
    """One line of a table: a method at a resolution.

    Args:
        resolution: As the table writes it, '4x'.
        method: As the table writes it, 'A-SKD'.
        config: The experiment's config: a shipped one, `askd_mmdet::...`, or a path relative to the table's definition.
        trained: Config file of the network that is tested, where it is another one: the HR teacher on LR pictures.
        options: Settings of this row alone, by dotted name; they also need a name.
        name: Of the folder of its runs, or of its test where another network is tested; the config's by default.
        paper: The paper's figures, one for each column.
    """

    resolution: str
    method: str
    config: str
    trained: str | None = None
    options: dict = field(default_factory=dict)
    name: str | None = None
    paper: tuple[float, ...] = ()


@dataclass(frozen=True)
class Table:
    """What a file in `configs/tables/` says, see :meth:`read`; its entries are these, names with a leading _ its own.

    Args:
        name: Of the definition file.
        path: The definition file.
        title: A sentence above the table.
        columns: Metric of the tests for each title of a column; `test: metric` where several tests have it.
        rows: See :class:`Row`.
        base: The method that the others of the same resolution are compared with.
        tests: For each name of a test the settings that it changes in the row's config; by default one that changes
            nothing.
        options: Settings of all runs, by dotted name.
        toy: A toy's HR config; the paper's figures are left out. Each row's experiment then differs from it in what the
            row's config differs from `hr`.
        hr: The HR config that `toy` stands in for.
        data: The toy data set that is made when it is missing: 'wider_face', 'faces' or 'pictures'.
    """

    name: str
    title: str
    columns: dict[str, str]
    rows: tuple[Row, ...]
    path: Path | None = None
    base: str = 'Base'
    tests: dict[str, dict] = field(default_factory=lambda: {'test': {}})
    options: dict = field(default_factory=dict)
    toy: str | None = None
    hr: str | None = None
    data: str | None = None

    @classmethod
    def named(cls, name: str) -> 'Table':
        """The shipped table of that name, or the definition in that file, see :meth:`read`."""
        return cls.read(name if Path(name).suffix == '.py' else CONFIGS / f'tables/{name}.py')

    @classmethod
    def read(cls, path: str | Path) -> 'Table':
        """Read a definition.

        Raises:
            FileNotFoundError: When there is no such file.
            ValueError: When it has unknown entries, a column no test, a row two names, or a paper's figure no column.
        """
        path = Path(path)
        if not path.is_file():
            names = ', '.join(sorted(p.stem for p in path.parent.glob('*.py')))
            raise FileNotFoundError(f'no table at {path}; there are: {names or "none"}')
        entries = {key: value for key, value in Config.fromfile(path).to_dict().items() if not key.startswith('_')}
        try:
            rows = tuple(Row(**row) for row in entries.pop('rows'))
            if 'toy' in entries:  # whose figures say nothing beside the paper's
                rows = tuple(replace(row, paper=()) for row in rows)
            table = cls(name=path.stem, path=path, rows=rows, **entries)
        except (KeyError, TypeError) as error:
            raise ValueError(f'{path} does not define a table: {error}') from error
        for title, key in table.columns.items():
            if (test := key.rpartition(': ')[0]) and test not in table.tests:
                raise ValueError(
                    f'{path}: the column {title} is of the test {test}; there are {", ".join(table.tests)}'
                )
        for row in rows:
            if row.options and not row.name:
                raise ValueError(f'{path}: the row {row.resolution} {row.method} has options, so it needs a name')
            if row.paper and len(row.paper) != len(table.columns):
                raise ValueError(f'{path}: the row {row.resolution} {row.method} needs a figure for every column')
        return table


@dataclass(frozen=True, eq=False)
class Training:
    """One network from one seed, in a directory of its own."""

    name: str
    seed: int
    cfg: Config
    work_dir: Path
    teacher: 'Training | None'
    source: tuple[Path, dict]  # its config file, and what its row changes in it

    @property
    def epochs(self) -> int:
        return self.cfg.train_cfg.max_epochs

    @property
    def checkpoint(self) -> Path:
        return self.work_dir / f'epoch_{self.epochs}.pth'

    def epochs_done(self) -> int:
        """The newest epoch that has left a checkpoint."""
        numbers = (path.stem.removeprefix('epoch_') for path in self.work_dir.glob('epoch_*.pth'))
        return max((int(number) for number in numbers if number.isdecimal()), default=0)


@dataclass(frozen=True, eq=False)
class Test:
    """One evaluation of a trained network for a row."""

    row: Row
    name: str
    training: Training
    cfg: Config
    work_dir: Path

    @property
    def metrics(self) -> Path:
        return self.work_dir / 'metrics.json'

    def is_done(self) -> bool:
        """Whether there are metrics, of the checkpoint that is there now."""
        if not (self.metrics.is_file() and self.training.checkpoint.is_file()):
            return False
        return self.metrics.stat().st_mtime >= self.training.checkpoint.stat().st_mtime


class Plan:
    """The trainings and tests of a table, teachers before their students.

    Args:
        table: The table.
        seeds: Every network is trained once from each of them; students learn from the teacher of their own seed.
        work_dir: The runs are in `<work_dir>/<name>/seed<seed>`. Tables share them, so that a teacher is trained once.
        methods: Only these rows, by method; all by default.
        base: The method that others are compared with, if not the table's own base.
        data: Stands in for the folder `data` in all paths of the configs.
        options: Settings of all runs, by dotted name.
        adapt: What else is done to every config.

    Raises:
        ValueError: For a method that the table does not have, a setting that nothing reads, a training without
            epochs, or two networks with one name.
    """

    def __init__(
        self,
        table: Table,
        seeds: list[int],
        work_dir: Path,
        methods: list[str] | None = None,
        base: str | None = None,
        data: str | None = None,
        options: dict | None = None,
        adapt: Callable[[Config], None] | None = None,
    ):
        known = {row.method.lower(): row.method for row in table.rows}
        named = [*(methods or ()), *filter(None, [base])]
        if unknown := [method for method in named if method.lower() not in known]:
            raise ValueError(f'{table.name} has no method {", ".join(unknown)}; it has: {", ".join(known.values())}')
        wanted = {method.lower() for method in (named if methods else known)}
        self.table = replace(table, base=known[base.lower()]) if base else table
        self.rows = [row for row in table.rows if row.method.lower() in wanted]
        self.seeds = seeds = list(dict.fromkeys(seeds))
        self.work_dir = work_dir
        self.data = data or DATA
        self.options = options or {}
        self.adapt = adapt
        self._files: dict[str, dict] = {}
        self.trainings: dict[tuple[str, int], Training] = {}
        self.tests: list[Test] = [test for seed in seeds for row in self.rows for test in self._tests(row, seed)]

    def _tests(self, row: Row, seed: int) -> Iterator[Test]:
        own = dict(options=row.options, name=row.name) if not row.trained else {}
        training = self._training(row.trained or row.config, seed, **own)
        for name, changes in self.table.tests.items():
            cfg = self._configure(row.config, row.options | changes, seed)
            folder = training.work_dir / (f'{name}_{row.name or Path(row.config).stem}' if row.trained else name)
            for metric in evaluators_of(cfg):
                if type_name(metric) == 'VerificationMetric':
                    metric.setdefault('out_dir', str(folder))  # whose answers the table compares pair by pair
            yield Test(row, name, training, cfg, folder)

    def _training(self, config: str, seed: int, options: dict | None = None, name: str | None = None) -> Training:
        """The training of a config, and before it that of the teacher that its config names."""
        name = name or Path(config).stem
        if self.table.toy:
            name = f'{Path(self.table.toy).stem}/{name}'
        source = find_config(config, self.table.path).resolve(), options or {}
        known = self.trainings.get((name, seed))
        if known and known.source != source:
            other = known.source[0]
            different = 'with other options' if other == source[0] else f'and {other}'
            raise ValueError(
                f'{self.table.name}: different networks would share the folder {name}, {source[0]} {different}; give '
                'their rows names, or the files'
            )
        if not known:
            cfg = self._configure(config, options or {}, seed)
            teacher = None
            if hook := distillation_of(cfg):
                teacher = self._training(str(find_config(hook.teacher, source[0])), seed)
                parts = ('model', 'default_scope', 'data_preprocessor')
                hook.teacher = {part: teacher.cfg[part] for part in parts if part in teacher.cfg}
                hook.checkpoint = str(teacher.checkpoint)
            work_dir = self.work_dir / name / f'seed{seed}'
            self.trainings[name, seed] = Training(name, seed, cfg, work_dir, teacher, source)
        return self.trainings[name, seed]

    def _read(self, config: str) -> dict:
        if config not in self._files:
            self._files[config] = load_config(config, self.table.path).to_dict()
        return self._files[config]

    def _configure(self, config: str, options: dict, seed: int) -> Config:
        settings = self._read(config)
        if self.table.toy:
            settings = transplant(self._read(self.table.toy), settings, self._read(self.table.hr))
        cfg = Config(copy.deepcopy(settings))
        options = copy.deepcopy(self.table.options | options | self.options)
        check_read(cfg, options)
        try:
            cfg.merge_from_dict(options)
        except (KeyError, TypeError) as error:
            raise ValueError(
                f'{config} cannot take these options ({error}); settings that only some rows have are options of '
                'those rows in the table'
            ) from error
        cfg.randomness = {**(cfg.get('randomness') or {}), 'seed': seed}
        if 'max_epochs' not in (cfg.get('train_cfg') or {}):
            raise ValueError(f'{config} trains by iterations, or not at all; a table needs train_cfg.max_epochs')
        if self.adapt:
            self.adapt(cfg)
        return Config(moved(cfg.to_dict(), self.data))


def task_of(cfg: Config) -> str:
    """'detection', 'recognition' or 'classification', by the model and the scope that it is built in."""
    if type_name(cfg.model) == 'FaceRecognizer':
        return 'recognition'
    return 'detection' if cfg.get('default_scope') == 'mmdet' else 'classification'


def transplant(target, changed, original):
    """`target` with what `changed` has otherwise than `original`: settings as MMEngine's configs hold them.

    Dicts are compared entry by entry, and so are lists of equal length; an entry that `changed` adds, or replaces by
    another type of component, is taken whole.

    Example:
        >>> transplant(dict(depth=18, ratio=1), dict(depth=50, ratio=4), dict(depth=50, ratio=1))
        {'depth': 18, 'ratio': 4}
    """
    if changed == original:
        return target
    if isinstance(changed, dict) and isinstance(original, dict) and isinstance(target, dict):
        if changed.get('type') == original.get('type'):
            kept = {key: value for key, value in target.items() if key in changed or key not in original}
            return kept | {
                key: transplant(target.get(key), value, original.get(key))
                for key, value in changed.items()
                if key in target or key not in original or value != original[key]
            }
    elif isinstance(changed, list) and isinstance(original, list) and isinstance(target, list):
        if len(changed) == len(original) == len(target):
            return [transplant(*three) for three in zip(target, changed, original)]
        shared = len(original)
        if changed[:shared] == original and len(target) == shared:
            return [*target, *changed[shared:]]
    return copy.deepcopy(changed)
