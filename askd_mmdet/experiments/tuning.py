"""Search for hyper-parameters as the paper did: at random, judged by a fifth of the training data that is held out.

The teacher is trained once on the rest of the data, and then a student for every trial, which is tested on what was
held out: on pairs of identities that no network has seen, on pictures for classes and faces. The real validation and
test sets take no part. The same command goes on with a search that was interrupted, or adds trials to it.
"""

import ast
import csv
import io
import json
import math
import shlex
from functools import partial
from pathlib import Path

import numpy as np
import optuna
from matplotlib.figure import Figure
from mmengine.config import Config
from mmengine.registry import DATASETS, DefaultScope
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

from askd_mmdet.experiments.jobs import run_jobs
from askd_mmdet.experiments.plan import Plan, Row, Table, task_of
from askd_mmdet.experiments.runs import Launch, gpu_names, locked, make_jobs, write_config
from askd_mmdet.training.config import find_config, load_config, override, type_name
from askd_mmdet.training.files import replace_text
from askd_mmdet.training.launch import distillation_of

KINDS = {
    'log': partial(FloatDistribution, log=True),
    'float': FloatDistribution,
    'int': IntDistribution,
}
SAMPLERS = {
    'random': optuna.samplers.RandomSampler,
    'tpe': optuna.samplers.TPESampler,
}
STATES = {TrialState.COMPLETE: 'finished', TrialState.FAIL: 'failed', TrialState.RUNNING: 'unfinished'}
# For every task what is drawn, the evaluator where it is not the config's own, and its metric.
TASKS = {
    'recognition': ('gt_label', dict(type='VerificationMetric'), 'verification/accuracy'),
    'classification': (None, None, 'accuracy/top1'),
    # The protocol of WIDER FACE is defined for its validation set.
    'detection': (None, dict(type='CocoMetric', metric='bbox'), 'coco/bbox_mAP_50'),
}


def read_choices(text: str) -> list:
    """Values between commas: as Python writes them, or where they are not, as text."""
    try:
        return ast.literal_eval(f'[{text}]')
    except (SyntaxError, ValueError):
        return [value for value in text.split(',') if value]


def read_space(entries: list[str], cfg: Config) -> dict[str, BaseDistribution]:
    """Where to look for each setting, by its dotted name in the config.

    Raises:
        ValueError: When an entry cannot be read, or the config does not have its setting.
    """
    space = {}
    for entry in entries:
        name, _, text = entry.partition('=')
        kind, _, values = text.partition(':')
        name = lambda_of(cfg) if name == 'lambda' else name
        try:
            if kind == 'choice':
                distribution = CategoricalDistribution(read_choices(values))
            else:
                low, high = map(int if kind == 'int' else float, values.split(':'))
                if not (math.isfinite(low) and low < high < math.inf):
                    raise ValueError('LOW is less than HIGH')
                distribution = KINDS[kind](low, high)
        except (KeyError, ValueError) as error:
            raise ValueError(
                f'--space {entry}: expected NAME=log:LOW:HIGH, float:LOW:HIGH, int:LOW:HIGH or choice:A,B,C ({error})'
            ) from None
        value = cfg
        for key in name.split('.'):
            try:
                value = value[int(key)] if isinstance(value, list) else value[key]
            except (IndexError, KeyError, TypeError, ValueError):
                raise ValueError(f'--space {entry}: the config has no setting {name}') from None
        if name in space:
            raise ValueError(f'--space names {name} twice')
        space[name] = distribution
    return space


def lambda_of(cfg: Config) -> str:
    """The dotted name of lambda of eq. 9.

    Raises:
        ValueError: When the config does not have exactly one.
    """
    hook = distillation_of(cfg)
    losses = hook.losses if hook else {}
    names = [name for name, loss in losses.items() if type_name(loss) == 'AttentionSimilarityLoss']
    if len(names) != 1:
        raise ValueError(
            f'the config has {len(names)} AttentionSimilarityLoss, so lambda could be none or many; name settings by '
            '--space, as optim_wrapper.optimizer.lr=log:0.01:1'
        )
    return f'custom_hooks.{cfg.custom_hooks.index(hook)}.losses.{names[0]}.weight'


def hold_out(cfg: Config, fraction: float, seed: int, pairs: int) -> None:
    """Change an experiment: it is trained on the rest of its training data and tested on what is held out."""
    task = task_of(cfg)
    by, evaluator, _ = TASKS[task]
    whole = cfg.train_dataloader.dataset
    split = dict(type='held_out_split', fraction=fraction, seed=seed, by=by)
    # The validation's pipeline, since what is tested may be small by itself, as TinyFace is.
    tested = dict(whole, pipeline=cfg.val_dataloader.dataset.pipeline)
    pairs = pairs if task == 'recognition' else 0
    cfg.test_dataloader.dataset = dict(split, part='held_out', pairs=pairs, dataset=tested)
    cfg.train_dataloader.dataset = dict(split, part='rest', dataset=whole)
    cfg.test_evaluator = evaluator or cfg.test_evaluator
    # The real validation set is not looked at, and of the many networks only the last checkpoint is of use.
    cfg.val_dataloader = cfg.val_evaluator = cfg.val_cfg = None
    checkpoint = cfg.default_hooks.checkpoint
    checkpoint.max_keep_ckpts = 1
    checkpoint.pop('save_best', None)


def check_data(cfg: Config) -> None:
    """Count both parts, so that data that cannot be divided, or are not there, end the search before it begins."""
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope')):
        rest, held_out = (DATASETS.build(loader.dataset) for loader in (cfg.train_dataloader, cfg.test_dataloader))
    note = f' in {len(held_out.metainfo["pairs"])} pairs' if 'pairs' in held_out.metainfo else ''
    print(f'{len(rest)} pictures to train on, {len(held_out)} held out{note}\n')


class Search:
    """A study of Optuna whose trials are rows of a table.

    The study is in `<work dir>/<config>/search.db`, a trial's runs are in `<work dir>/<config>/trial<number>`, and the
    teacher's are beside, where searches of other students find them.

    Args:
        config: The experiment, a student or any other; see `find_config`.
        space: Settings and where to look for them, as :func:`read_space` takes them.
        trials: How many in all.
        held_out: Share of the training identities or pictures, in (0, 1).
        pairs: In recognition, pairs of the identities held out.
        metric: What is best when it is greatest; by default the task's, see `TASKS`.
        sampler: 'random' or 'tpe'.
        seed: Of the draws and of all networks.
        work_dir: Of all runs.
        data: See `Plan`.
        options: See `Plan`.
        launch: How runs are started; one at a time by default.

    Raises:
        FileNotFoundError: When there is no such config, or no data.
        ValueError: When the space, the data or the work directory do not fit.
    """

    def __init__(
        self,
        config: str,
        space: list[str],
        work_dir: Path,
        trials: int = 20,
        held_out: float = 0.2,
        pairs: int = 6000,
        metric: str | None = None,
        sampler: str = 'random',
        seed: int = 0,
        data: str | None = None,
        options: dict | None = None,
        launch: Launch | None = None,
    ):
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.trials, self.held_out, self.pairs, self.sampler, self.seed = trials, held_out, pairs, sampler, seed
        self.work_dir, self.data, self.options, self.launch = work_dir, data, options or {}, launch or Launch()
        self.config = find_config(config).resolve()
        cfg = load_config(self.config)
        override(cfg, self.options)
        self.task = task_of(cfg)
        self.space = read_space(space, cfg)
        if shared := self.space.keys() & self.options.keys():
            raise ValueError(f'both --space and --cfg-options name {", ".join(shared)}')
        self.metric = metric or TASKS[self.task][-1]
        self.folder = work_dir / self.config.stem

        whole = self.plan([Row('', '', str(self.config))]).tests[0].cfg
        check_data(whole)
        self.folder.mkdir(exist_ok=True)
        whole = Config(dict(whole.to_dict(), search=[*space]))
        write_config(whole, work_dir / f'{self.config.stem}.py', work_dir)
        self.study = optuna.create_study(
            storage=f'sqlite:///{self.folder.resolve() / "search.db"}',
            study_name=self.config.stem,
            direction='maximize',
            load_if_exists=True,
        )
        known = self.study.user_attrs.get('metric', self.metric)
        if known != self.metric:
            raise ValueError(f'the trials in {self.folder} are judged by {known}; choose another --work-dir')

    def plan(self, rows: list[Row]) -> Plan:
        return Plan(
            Table('search', '', {self.metric: self.metric}, tuple(rows)),
            [self.seed],
            self.work_dir,
            data=self.data,
            options=self.options,
            adapt=partial(hold_out, fraction=self.held_out, seed=self.seed, pairs=self.pairs),
        )

    def next_trials(self) -> list[FrozenTrial]:
        """As many as may run at a time: those that an interruption left, then new ones; none at the end."""
        batch = []
        for trial in self.study.get_trials(states=[TrialState.RUNNING]):
            if trial.params.keys() == self.space.keys():
                batch.append(trial)
            else:  # killed as it was drawn
                self.study.tell(trial.number, state=TrialState.FAIL)
        while len(batch) < self.launch.jobs and (number := len(self.study.trials)) < self.trials:
            # A seed for each, so that a search that goes on does not begin with the same draws again.
            entropy = np.random.SeedSequence([self.seed, number]).generate_state(1)
            self.study.sampler = SAMPLERS[self.sampler](seed=int(entropy[0]))
            batch.append(self.study.ask(self.space))
        return batch[: self.launch.jobs]

    def run(self, trials: list[FrozenTrial]) -> None:
        """Train and test some trials, and tell the study.

        Raises:
            ValueError: When the teacher cannot be trained, or the tests give no such metric.
        """
        plan = self.plan(
            [
                Row(
                    '', '', str(self.config), options=dict(trial.params), name=f'{self.config.stem}/trial{trial.number}'
                )
                for trial in trials
            ]
        )
        failures = run_jobs(make_jobs(plan, self.launch), self.launch.jobs, gpu_names())
        for trial, test in zip(trials, plan.tests):
            teacher = test.training.teacher
            if teacher and not teacher.checkpoint.is_file():
                reason = next(reason for job, reason in failures.items() if job.log.parent == teacher.work_dir)
                raise ValueError(f'the teacher, which every trial needs, could not be trained: {reason}')
            if not test.is_done():
                self.study.tell(trial.number, state=TrialState.FAIL)
                continue
            metrics = json.loads(test.metrics.read_text())
            if metrics and self.metric not in metrics:
                raise ValueError(f'{test.metrics} has no {self.metric}; choose --metric from: {", ".join(metrics)}')
            self.study.set_user_attr('metric', self.metric)
            value = metrics.get(self.metric, math.nan)  # CocoMetric has none where nothing was detected
            if math.isfinite(value):
                self.study.tell(trial.number, value)
            else:
                self.study.tell(trial.number, state=TrialState.FAIL)

    def report(self) -> str:
        """Write `search.md`, `.csv` and `.png`, and return the first."""
        trials = [trial for trial in self.study.trials if trial.params]
        finished = sorted(
            (trial for trial in trials if trial.state == TrialState.COMPLETE), key=lambda t: (-t.value, t.number)
        )
        unit = 'identities' if TASKS[self.task][0] else 'pictures'
        lines = [
            f'{self.config.stem}: {len(finished)} trials, {self.sampler} search, judged by {self.metric} on '
            f'{self.held_out:.0%} of the training {unit}, held out (seed {self.seed})',
            '',
            f'| trial | {" | ".join(self.space)} | {self.metric} |',
            f'|{"---|" * (len(self.space) + 2)}',
        ]
        for trial in [*finished, *(trial for trial in trials if trial not in finished)]:
            cells = (
                f'{v:.4g}' if isinstance(v, float) else f'{v}' for v in (trial.params[name] for name in self.space)
            )
            figure = f'{trial.value:.4f}' if trial in finished else STATES[trial.state]
            lines.append(f'| {trial.number} | {" | ".join(cells)} | {figure} |')
        if finished:
            best = shlex.join(f'{name}={finished[0].params[name]}' for name in self.space)
            lines += ['', f'Best: trial {finished[0].number}', '', f'    --cfg-options {best}']
        text = '\n'.join(lines)

        table = io.StringIO()
        writer = csv.writer(table, lineterminator='\n')
        writer.writerow(['number', 'state', *self.space, self.metric])
        for trial in trials:
            writer.writerow(
                [trial.number, STATES[trial.state], *(trial.params[name] for name in self.space), trial.value]
            )
        replace_text(self.folder / 'search.md', text + '\n')
        replace_text(self.folder / 'search.csv', table.getvalue())
        self.draw(finished, [trial for trial in trials if trial.state == TrialState.FAIL])
        return text

    def draw(self, finished: list[FrozenTrial], failed: list[FrozenTrial]) -> None:
        """The metric over every parameter."""
        figure = Figure(figsize=(4 * len(self.space) + 0.5, 3.6), layout='constrained')
        panels = np.ravel(figure.subplots(1, len(self.space), sharey=True))
        for panel, (name, distribution) in zip(panels, self.space.items()):
            if isinstance(distribution, CategoricalDistribution):
                panel.set_xticks(range(len(distribution.choices)), map(str, distribution.choices))
                panel.set_xlim(-0.5, len(distribution.choices) - 0.5)
            else:
                panel.set_xscale('log' if distribution.log else 'linear')
                panel.set_xlim(distribution.low, distribution.high)
            best = dict(label='best', s=160, c='tab:orange', marker='*')
            at_the_bottom = dict(label='failed', c='grey', marker='x', transform=panel.get_xaxis_transform())
            for trials, style in (finished, {}), (finished[:1], best), (failed, at_the_bottom):
                if trials:
                    x = [distribution.to_internal_repr(trial.params[name]) for trial in trials]  # numbers of choices
                    y = [0.02 if trial.value is None else trial.value for trial in trials]
                    panel.scatter(x, y, clip_on=False, zorder=3, **style)
            panel.set_xlabel(name, fontsize='small')
            panel.grid(alpha=0.3)
        panels[0].set_ylabel(self.metric)
        panels[0].legend()
        figure.savefig(self.folder / 'search.png', dpi=150)


def search(*args, work_dir: Path, **kwargs) -> Search:
    """Run a :class:`Search` to its end, or go on with it; returns it with its report written.

    Raises:
        FileNotFoundError, ValueError: See :class:`Search`; also when no trial finishes, or another command works there.
    """
    with locked(work_dir):
        study = Search(*args, work_dir=work_dir, **kwargs)
        while trials := study.next_trials():
            over = sum(trial.state.is_finished() for trial in study.study.trials)
            print(f'{over} of {max(study.trials, len(study.study.trials))} trials are over')
            study.run(trials)
            study.report()
        print(f'\n{study.report()}\n\nIn {study.folder}/: search.md, .csv and .png.')
    if not any(trial.state == TrialState.COMPLETE for trial in study.study.trials):
        raise ValueError(f'no trial finished; the logs are in {study.folder}')
    return study
