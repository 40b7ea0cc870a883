"""The runs of a plan: their commands, a work directory that belongs to one experiment, and what came out."""

import fcntl
import json
import os
import platform
import re
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import torch
from mmengine.config import Config

from askd_mmdet.experiments.estimate import seconds_of
from askd_mmdet.experiments.jobs import Job, askd, run_jobs
from askd_mmdet.experiments.plan import Plan
from askd_mmdet.experiments.results import save_results
from askd_mmdet.training.config import load_config
from askd_mmdet.training.files import replace_text
from askd_mmdet.version import __version__


@dataclass(frozen=True)
class Launch:
    """How runs are started.

    Args:
        jobs: How many run at a time; they share the GPUs.
        launcher: 'none' for one process a run, 'pytorch' or 'slurm' for one for each of `gpus`.
        gpus: Processes of a run with a launcher.
    """

    jobs: int = 1
    launcher: str = 'none'
    gpus: int = 1


def write_config(cfg: Config, path: Path, work_dir: Path) -> None:
    """Keep the config of a run beside its directory; a directory belongs to one experiment, wherever it is moved.

    Args:
        cfg: The config.
        path: Its file.
        work_dir: Of all runs; what the config names below it may have lain elsewhere before.

    Raises:
        ValueError: When the directory holds a run with other settings.
    """
    text = cfg.pretty_text
    if path.is_file() and path.read_text() != text and not _differ_in_place(load_config(path), cfg, work_dir):
        raise ValueError(
            f'{path.with_suffix("")} holds a run with other settings (they are in {path}); choose another --work-dir, '
            'or remove it'
        )
    replace_text(path, text)


def _differ_in_place(before, cfg, work_dir):
    """Whether two configs are the same but for where the work directory was."""
    before, now = (
        json.dumps(each.to_dict(), sort_keys=True, default=str, ensure_ascii=False) for each in (before, cfg)
    )
    for place in re.findall(rf'"{re.escape(str(work_dir))}(/[^"]+)"', now):
        before = re.sub(rf'"[^"]*{re.escape(place)}"', lambda _, place=place: f'"{work_dir}{place}"', before)
    return before == now


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Make a work directory, and keep other commands out of it.

    Raises:
        ValueError: When another command works in it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / '.lock').open('w') as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(
                f'another experiment runs in {folder}; wait for it, or choose another --work-dir'
            ) from None
        # Whatever runs here keeps the lock, also when this process is killed before it.
        os.set_inheritable(lock.fileno(), True)
        yield


def make_jobs(plan: Plan, launch: Launch) -> list[Job]:
    """The commands that train and test, teachers first; writes the config of each."""
    how = dict(launcher=launch.launcher, gpus=launch.gpus)
    processes = launch.gpus if launch.launcher == 'pytorch' else 1
    jobs = {}
    for training in plan.trainings.values():
        config = training.work_dir.with_suffix('.py')
        write_config(training.cfg, config, plan.work_dir)
        jobs[training] = Job(
            label=f'train {training.name}, seed {training.seed}',
            command=askd('train', str(config), '--work-dir', str(training.work_dir), '--resume', **how),
            log=training.work_dir / 'train.log',
            steps=training.epochs,
            is_done=training.checkpoint.is_file,
            steps_done=training.epochs_done,
            needs=[jobs[training.teacher]] if training.teacher else [],
            processes=processes,
        )
    for test in plan.tests:
        config = test.work_dir.with_suffix('.py')
        write_config(test.cfg, config, plan.work_dir)
        command = [str(config), str(test.training.checkpoint), '--work-dir', str(test.work_dir)]
        jobs[test] = Job(
            label=f'test {test.work_dir.relative_to(plan.work_dir)}',
            command=askd('test', *command, '--out', str(test.metrics), **how),
            log=test.work_dir / 'test.log',
            steps=1,
            is_done=test.is_done,
            steps_done=lambda test=test: int(test.is_done()),
            needs=[jobs[test.training]],
            processes=processes,
        )
    return list(jobs.values())


def repeat(plan: Plan, launch: Launch) -> tuple[str, dict[Job, str]]:
    """Train and test what a table lacks, and save what there is then.

    What is finished is kept, what was interrupted goes on, and a run that fails stops only those that need it.

    Returns:
        The table in Markdown, and where it is saved; and for every run that failed the reason, see
        :func:`check_failures`.
    """
    about = dict(command=shlex.join(sys.argv), machine=machine(), torch=torch.__version__, askd_mmdet=__version__)
    with locked(plan.work_dir):
        failures = run_jobs(make_jobs(plan, launch), launch.jobs, gpu_names())
        table = save_results(plan, plan.work_dir, about)
    return f'{table}\n\nIn {plan.work_dir}/: {plan.table.name}.md, .csv and .json.', failures


def check_failures(failures: dict[Job, str]) -> None:
    """Raise ValueError with the reasons, where runs failed."""
    if failures:
        reasons = '\n'.join(f'  {job.label}: {reason}' for job, reason in failures.items())
        raise ValueError(f'{len(failures)} runs failed; the same command tries them again:\n{reasons}')


def describe(plan: Plan, estimate: bool = False) -> Iterator[str]:
    """The lines of a plan: what is to be trained and tested, on request with how long it takes on this machine."""
    yield f'{plan.table.title}\n'
    total = 0
    known = {}
    for training in plan.trainings.values():
        left = training.epochs - training.epochs_done()
        if left and estimate and training.name not in known:
            try:
                known[training.name] = seconds_of(training.cfg)
            except Exception as error:  # whatever a config or missing data leads to
                known[training.name] = (str(error).strip() or type(error).__name__).splitlines()[0]
        cost = known.get(training.name, 0)
        state = f'{left} epochs' if left else 'finished'
        if left and isinstance(cost, str):
            state += f', time unknown: {cost}'
        elif left and estimate:
            total += left * cost
            state += f', about {timedelta(seconds=round(left * cost))}'
        yield f'train {training.name}, seed {training.seed}: {state}'
    for test in plan.tests:
        yield f'test  {test.work_dir.relative_to(plan.work_dir)}: {"finished" if test.is_done() else "to do"}'
    if estimate:
        yield (
            f'\nTrainings take about {timedelta(seconds=round(total))} on this machine one after the other in one '
            'process, by a few steps of each just now, without loading, validation and tests.'
        )


def gpu_names() -> list[str]:
    """The GPUs that jobs may share, as CUDA_VISIBLE_DEVICES calls them."""
    visible = os.environ.get('CUDA_VISIBLE_DEVICES', '')
    return visible.split(',') if visible else [str(i) for i in range(torch.cuda.device_count())]


def machine() -> str:
    """What the figures were measured on."""
    if torch.cuda.is_available():
        return f'{torch.cuda.device_count()} x {torch.cuda.get_device_name()}'
    lines = Path('/proc/cpuinfo').read_text().splitlines()
    name = next((line.split(':')[1].strip() for line in lines if 'model name' in line), platform.machine())
    return f'{os.cpu_count()} x {name}, no GPU'
