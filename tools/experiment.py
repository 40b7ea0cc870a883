"""Repeat a table: train what is missing, test it, and print our figures beside the paper's.

A table is a name in configs/tables/, as table4, or a file. What is finished is kept, what was interrupted goes on, and
a run that fails stops only those that need it: the same command, called again, does the rest.
"""

import argparse
import fcntl
import os
import platform
import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path

import torch
from mmengine.config import Config, DictAction

import askd_mmdet
from askd_mmdet.experiments import Job, Plan, Table, run_jobs, save_results, seconds_of
from askd_mmdet.experiments.jobs import python
from askd_mmdet.toy import make_face_identities, make_picture_classes, make_wider_face
from askd_mmdet.training.files import replace_text

ROOT = Path(__file__).resolve().parents[1]
TOYS = {
    'wider_face': partial(make_wider_face, train_images=320, val_images=160),
    'faces': make_face_identities,
    'pictures': make_picture_classes,
}


def parse_runs(parser: argparse.ArgumentParser, arguments: list[str] | None, work_dir: str) -> argparse.Namespace:
    """Parse the command line of a tool that trains and tests: what all of them have is added to its own options."""
    parser.add_argument('--data', default='data', help='the folder of the data sets, laid out as in the README (data)')
    parser.add_argument(
        '--jobs', type=int, default=1, help='how many runs at a time, which share the GPUs (default: 1)'
    )
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm'],
        default='none',
        help='one process a run (none), or one for each of --gpus: by torchrun, or by srun (options in SRUN_ARGS)',
    )
    parser.add_argument('--gpus', type=int, default=1, help='processes of a run with --launcher (default: 1)')
    parser.add_argument(
        '--work-dir', type=Path, default=Path(work_dir), help='of all runs and results (default: %(default)s)'
    )
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, default={}, help='override settings of all runs')
    args = parser.parse_args(arguments)
    if args.jobs < 1 or args.gpus < 1:
        parser.error('--jobs and --gpus are 1 or more')
    return args


def parse_args(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('table', help='a name in configs/tables/ (table1 to table5, toy1 to toy5, ...) or a file')
    parser.add_argument('--seeds', type=int, nargs='+', default=[0], help='every network once from each (default: 0)')
    parser.add_argument('--methods', nargs='+', help='only these rows, as the table calls them (default: all)')
    parser.add_argument(
        '--dry-run', action='store_true', help='print the plan and how long it would take here, and end'
    )
    return parse_runs(parser, arguments, work_dir='work_dirs/tables')


def write_config(cfg: Config, path: Path) -> None:
    """Keep the config of a run beside its directory; a directory belongs to one experiment.

    Raises:
        ValueError: When the directory holds a run with other settings.
    """
    text = cfg.pretty_text
    if path.is_file() and path.read_text() != text:
        raise ValueError(
            f'{path.with_suffix("")} holds a run with other settings (they are in {path}); choose another --work-dir, '
            'or remove it'
        )
    replace_text(path, text)


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


def make_jobs(plan: Plan, args: argparse.Namespace) -> list[Job]:
    """The commands that train and test, teachers first."""
    launch = dict(launcher=args.launcher, gpus=args.gpus)
    processes = args.gpus if args.launcher == 'pytorch' else 1
    jobs = {}
    for training in plan.trainings.values():
        config = training.work_dir.with_suffix('.py')
        write_config(training.cfg, config)
        command = ['--work-dir', str(training.work_dir), '--resume']
        jobs[training] = Job(
            label=f'train {training.name}, seed {training.seed}',
            command=python(ROOT / 'tools/train.py', str(config), *command, **launch),
            log=training.work_dir / 'train.log',
            steps=training.epochs,
            is_done=training.checkpoint.is_file,
            steps_done=training.epochs_done,
            needs=[jobs[training.teacher]] if training.teacher else [],
            processes=processes,
        )
    for test in plan.tests:
        config = test.work_dir.with_suffix('.py')
        write_config(test.cfg, config)
        command = ['--work-dir', str(test.work_dir), '--out', str(test.metrics)]
        jobs[test] = Job(
            label=f'test {test.work_dir.relative_to(plan.work_dir)}',
            command=python(ROOT / 'tools/test.py', str(config), str(test.training.checkpoint), *command, **launch),
            log=test.work_dir / 'test.log',
            steps=1,
            is_done=test.is_done,
            steps_done=lambda test=test: int(test.is_done()),
            needs=[jobs[test.training]],
            processes=processes,
        )
    return list(jobs.values())


def print_plan(plan: Plan, args: argparse.Namespace) -> None:
    """What would be run, and about how long it would take on this machine."""
    print(f'{plan.table.title}\n')
    total = 0
    known = {}
    for training in plan.trainings.values():
        left = training.epochs - training.epochs_done()
        if left and training.name not in known:
            try:
                known[training.name] = seconds_of(training.cfg)
            except Exception as error:  # whatever a config or missing data leads to
                known[training.name] = (str(error).strip() or type(error).__name__).splitlines()[0]
        cost = known.get(training.name, 0)
        state = 'finished'
        if left and isinstance(cost, str):
            state = f'{left} epochs, time unknown: {cost}'
        elif left:
            total += left * cost
            state = f'{left} epochs, about {timedelta(seconds=round(left * cost))}'
        print(f'train {training.name}, seed {training.seed}: {state}')
    for test in plan.tests:
        print(f'test  {test.work_dir.relative_to(plan.work_dir)}: {"finished" if test.is_done() else "to do"}')
    share = args.jobs * (args.gpus if args.launcher != 'none' else 1)
    print(
        f'\nTrainings take about {timedelta(seconds=round(total))} on this machine one after the other in one process, '
        f'by a few steps of each just now, without loading, validation and tests. You asked for {share} at a time.'
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


def main(arguments=None) -> Plan:
    args = parse_args(arguments)
    path = Path(args.table)
    plan = Plan(
        Table.read(path if path.suffix == '.py' else ROOT / f'configs/tables/{args.table}.py'),
        args.seeds,
        args.work_dir,
        ROOT,
        methods=args.methods,
        data=args.data,
        options=args.cfg_options,
    )
    toy = Path(args.data, f'toy_{plan.table.data}')
    if plan.table.data and not toy.is_dir():
        TOYS[plan.table.data](toy)
    if args.dry_run:
        print_plan(plan, args)
        return plan

    start = time.time()
    about = dict(
        command=shlex.join(sys.argv), machine=machine(), torch=torch.__version__, askd_mmdet=askd_mmdet.__version__
    )
    with locked(args.work_dir):
        failures = run_jobs(make_jobs(plan, args), args.jobs, gpu_names())
        print(f'\n{save_results(plan, args.work_dir, about)}')
    print(
        f'\nIn {args.work_dir}/: {plan.table.name}.md, .csv and .json. Took {(time.time() - start) / 60:.1f} minutes.'
    )
    if failures:
        reasons = '\n'.join(f'  {job.label}: {reason}' for job, reason in failures.items())
        sys.exit(f'\n{len(failures)} runs failed; the same command tries them again:\n{reasons}')
    return plan


def run(arguments=None, command=main):
    """:func:`main`, or another command, for a user: whatever goes wrong is told in a sentence."""
    try:
        return command(arguments)
    except KeyboardInterrupt:
        sys.exit('\nInterrupted. The same command goes on where this one stopped.')
    except (FileNotFoundError, ValueError) as error:
        sys.exit(f'error: {error}')


if __name__ == '__main__':
    run()
