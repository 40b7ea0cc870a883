"""Commands that depend on each other: some at a time, resumed, and none the reason to stop the others."""

import ctypes
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from math import inf
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from askd_mmdet.training.settings import check_number

_LIBC, _PR_SET_PDEATHSIG = ctypes.CDLL(None), 1


@dataclass(eq=False)
class Job:
    """A command, and how to tell that it need not run (again).

    Args:
        label: For people.
        command: Program and arguments.
        log: File that its output is appended to.
        steps: Its size, in whatever unit all jobs share.
        is_done: Whether its result is there.
        steps_done: How much of it is there.
        needs: Jobs that must be done before.
        processes: How many it starts on this machine, to share its processors.
    """

    label: str
    command: list[str]
    log: Path
    steps: int
    is_done: Callable[[], bool]
    steps_done: Callable[[], int]
    needs: list['Job'] = field(default_factory=list)
    processes: int = 1


def _die_with_parent():
    """Called in a child before its program starts: a killed parent leaves nobody who trains on unseen."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _environment(slot: int, slots: int, gpus: Sequence[str], processes: int) -> dict[str, str]:
    """The share of the machine's processors and GPUs that belongs to one of the jobs that run at a time."""
    environment = dict(os.environ)
    environment.setdefault('OMP_NUM_THREADS', str(max(len(os.sched_getaffinity(0)) // (slots * processes), 1)))
    environment.setdefault('MASTER_PORT', str(29500 + slot))  # of srun; jobs may share a node
    if gpus and slots > 1:
        share = max(len(gpus) // slots, 1)
        mine = [gpus[i % len(gpus)] for i in range(slot * share, (slot + 1) * share)]
        environment['CUDA_VISIBLE_DEVICES'] = ','.join(mine)
    return environment


def _reason(log: Path, start: int) -> str:
    """The error that a command named in its log from a byte on, or what it said last."""
    lines = [line for line in log.read_bytes()[start:].decode(errors='replace').splitlines() if line.strip()]
    # torchrun says much behind it.
    named = [line for line in lines if re.match(r'askd \w+: error: ', line)]
    return (named or lines or ['it said nothing'])[-1].strip()


def run_jobs(jobs: list[Job], slots: int = 1, gpus: Sequence[str] = (), poll_seconds: float = 0.5) -> dict[Job, str]:
    """Run what is not done, at most `slots` at a time, in the order given as far as needs allow.

    A job that fails takes with it those that need it, and no other. Interrupted (Ctrl-C), all running jobs are ended.

    Args:
        jobs: Every job, those that others need before these.
        slots: How many run at a time.
        gpus: Names of the GPUs to share among them, as in CUDA_VISIBLE_DEVICES.
        poll_seconds: How often to look.

    Returns:
        For every job that failed, or could not start, the reason.

    Raises:
        ValueError: When `slots` or `poll_seconds` is no number or out of range, or there are too few GPUs for jobs of
            several processes.
    """
    check_number('run_jobs', 'slots', slots, whole=True, at_least=1)
    most = max((job.processes for job in jobs), default=1)
    if gpus and most > 1 and slots * most > len(gpus):
        raise ValueError(
            f'{slots} runs at a time of {most} processes each need {slots * most} GPUs, and there are {len(gpus)}: '
            'lower --jobs or --gpus'
        )
    check_number('run_jobs', 'poll_seconds', poll_seconds, at_least=0)
    waiting = [job for job in jobs if not job.is_done()]
    failures: dict[Job, str] = {}
    running: dict[subprocess.Popen, tuple[Job, int, float, int]] = {}
    bars = {}
    columns = TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    console = Console(soft_wrap=True)
    columns = *columns, TextColumn('ETA'), TimeRemainingColumn()
    # Of the last half minute, as is usual, there would be no speed: an epoch may take an hour.
    with Progress(*columns, console=console, transient=True, speed_estimate_period=inf) as progress:
        total = progress.add_task('all', total=sum(job.steps - job.steps_done() for job in waiting))
        before = {job: job.steps_done() for job in waiting}
        finished = 0

        def fail(job, reason):
            failures[job] = reason
            progress.update(total, total=progress.tasks[total].total - job.steps + job.steps_done())
            console.print(f'failed: {job.label}: {reason}', style='red', markup=False)

        def advance():
            current = sum(job.steps_done() - before[job] for job, *_ in running.values())
            progress.update(total, completed=finished + current)

        try:
            while waiting or running:
                for job in list(waiting):
                    if broken := next((need for need in job.needs if need in failures), None):
                        waiting.remove(job)
                        fail(job, f'it needs {broken.label}')
                    elif len(running) < slots and all(need.is_done() for need in job.needs):
                        waiting.remove(job)
                        slot = min(set(range(slots)) - {slot for _, slot, *_ in running.values()})
                        job.log.parent.mkdir(parents=True, exist_ok=True)
                        console.print(f'start:  {job.label}', markup=False, highlight=False)
                        try:
                            with job.log.open('ab') as log:
                                start = log.tell()
                                process = subprocess.Popen(
                                    job.command,
                                    stdout=log,
                                    stderr=subprocess.STDOUT,
                                    stdin=subprocess.DEVNULL,
                                    env=_environment(slot, slots, gpus, job.processes),
                                    preexec_fn=_die_with_parent,
                                    close_fds=False,  # the lock of the work directory lives as long as they do
                                )
                        except OSError as error:
                            fail(job, str(error))
                            continue
                        running[process] = job, slot, time.time(), start
                        bars[job] = progress.add_task(job.label, total=job.steps, completed=job.steps_done())
                time.sleep(poll_seconds)
                for process, (job, _, begun, start) in list(running.items()):
                    progress.update(bars[job], completed=job.steps_done())
                    if process.poll() is None:
                        continue
                    del running[process]
                    progress.remove_task(bars.pop(job))
                    finished += job.steps_done() - before[job]
                    advance()
                    if process.returncode == 0 and job.is_done():
                        said = f'done:   {job.label} ({(time.time() - begun) / 60:.1f} min)'
                        task = progress.tasks[total]
                        if (left := len(waiting) + len(running)) and task.completed > 0:
                            seconds = task.elapsed * task.remaining / task.completed
                            said += f'; {left} left, about {timedelta(seconds=round(seconds))}'
                        console.print(said, markup=False, highlight=False)
                    else:
                        fail(job, f'{_reason(job.log, start)} (exit code {process.returncode}; {job.log})')
                    progress.refresh()
                advance()
        finally:
            for process in running:
                process.terminate()
            for process in running:
                process.wait()
    return failures


def askd(command: str, *arguments: str, launcher: str = 'none', gpus: int = 1) -> list[str]:
    """The command line that runs one of our commands, in one process or in as many as there are GPUs for it.

    Args:
        command: 'train' or 'test'.
        *arguments: Its arguments.
        launcher: 'none', 'pytorch' (torchrun on this machine) or 'slurm' (srun; more of its options in SRUN_ARGS, the
            size of a node in GPUS_PER_NODE, 8 by default).
        gpus: Processes with a GPU each.
    """
    module = ['-m', 'askd_mmdet', command, *arguments]
    if launcher == 'none':
        return [sys.executable, *module]
    module += ['--launcher', launcher]
    if launcher == 'pytorch':
        return [sys.executable, '-m', 'torch.distributed.run', '--standalone', f'--nproc-per-node={gpus}', *module]
    options = os.environ.get('SRUN_ARGS', '').split()
    per_node = min(gpus, int(os.environ.get('GPUS_PER_NODE', 8)))
    start = ['srun', f'--ntasks={gpus}', f'--ntasks-per-node={per_node}', f'--gres=gpu:{per_node}']
    return [*start, '--kill-on-bad-exit=1', *options, sys.executable, '-u', *module]
