"""Real processes: their order, their number, what fails with what, and that none outlives a killed parent."""

import dataclasses
import os
import re
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
from rich.console import Console

from askd_mmdet.experiments import jobs
from askd_mmdet.experiments.jobs import Job, askd, run_jobs
from askd_mmdet.experiments.runs import gpu_names
from tests.toy_run import ROOT


def job(folder, name, script='', needs=(), **settings):
    """A Python process that notes when it ran and leaves a file."""
    done = folder / name
    times = folder / f'{name}.times'
    text = f"""
import os, time
open({str(times)!r}, 'a').write(str(time.time()) + chr(10))
{script}
open({str(times)!r}, 'a').write(str(time.time()) + chr(10))
open({str(done)!r}, 'w')
"""
    return Job(
        label=name,
        command=[sys.executable, '-c', text],
        log=folder / 'logs' / f'{name}.log',
        steps=1,
        is_done=done.is_file,
        steps_done=lambda: int(done.is_file()),
        needs=list(needs),
        **settings,
    )


def times(folder, name):
    return [float(line) for line in (folder / f'{name}.times').read_text().split()]


def run(jobs, **settings):
    return run_jobs(jobs, poll_seconds=0.02, **settings)


def test_needs_come_first_and_no_more_than_asked_run_at_a_time(tmp_path):
    pause = 'time.sleep(0.3)'
    teacher = job(tmp_path, 'teacher', pause)
    others = [job(tmp_path, f'student{i}', pause, [teacher]) for i in range(4)]
    assert run([teacher, *others], slots=2) == {}
    spans = [times(tmp_path, name) for name in ('student0', 'student1', 'student2', 'student3')]
    assert all(start > times(tmp_path, 'teacher')[1] for start, _ in spans)
    at_once = [sum(start <= moment < end for start, end in spans) for moment, _ in spans]
    assert max(at_once) == 2


def test_a_failure_takes_along_what_needs_it_and_nothing_else(tmp_path):
    bad = job(tmp_path, 'bad', 'raise SystemExit("the disk is full")')
    child = job(tmp_path, 'child', needs=[bad])
    grandchild = job(tmp_path, 'grandchild', needs=[child])
    good = job(tmp_path, 'good')
    failures = run([bad, child, grandchild, good])
    assert list(failures) == [bad, child, grandchild]
    assert failures[bad].startswith('the disk is full (exit code 1; ') and str(bad.log) in failures[bad]
    assert failures[child] == 'it needs bad' and failures[grandchild] == 'it needs child'
    assert good.is_done() and not (tmp_path / 'child.times').exists()


def test_a_command_that_leaves_no_result_has_failed_and_one_that_is_done_is_not_run(tmp_path):
    liar = job(tmp_path, 'liar', 'import sys; print("all well"); sys.exit()')
    finished = job(tmp_path, 'finished')
    (tmp_path / 'finished').touch()
    failures = run([liar, finished])
    assert failures[liar].startswith('all well (exit code 0')
    assert not (tmp_path / 'finished.times').exists()
    (tmp_path / 'liar').touch()
    assert run([liar, finished]) == {}


def test_the_reason_is_the_error_of_this_time_and_not_what_a_launcher_says_of_it(tmp_path):
    """torchrun ends with lines of its own, and a log goes on when a run is tried again."""
    bad = job(tmp_path, 'bad', 'raise SystemExit("askd train: error: no such data; put it there" + chr(10) + "=" * 60)')
    assert run([bad])[bad].startswith('askd train: error: no such data; put it there (exit code 1; ')
    again = job(tmp_path, 'bad', 'os.kill(os.getpid(), 9)')
    assert run([again])[again].startswith('it said nothing (exit code -9; ')


def test_what_is_left_is_estimated_however_long_a_run_takes(tmp_path, monkeypatch, capsys):
    """Of the last half minute alone, as rich does it, no speed would be known: here a run takes one and more."""
    monkeypatch.setattr(jobs, 'Console', partial(Console, get_time=lambda: 100 * time.monotonic()))
    assert run([job(tmp_path, f'job{i}', 'time.sleep(0.4)') for i in range(4)]) == {}
    *done, last = [line for line in capsys.readouterr().out.splitlines() if line.startswith('done:')]
    times = []
    for line, left in zip(done, (3, 2, 1), strict=True):
        minutes, seconds = re.search(rf'; {left} left, about 0:(\d\d):(\d\d)$', line).groups()
        times.append(60 * int(minutes) + int(seconds))
    assert times[0] > times[1] > times[2] > 40 and 'left' not in last


def test_what_failed_is_no_work_that_is_done(tmp_path, monkeypatch, capsys):
    """A large run that fails at once would else make the others look quick."""
    monkeypatch.setattr(jobs, 'Console', partial(Console, get_time=lambda: 100 * time.monotonic()))
    large = dataclasses.replace(job(tmp_path, 'large', 'raise SystemExit(1)'), steps=1000)
    child = dataclasses.replace(job(tmp_path, 'child', needs=[large]), steps=1000)
    run([large, child, *(job(tmp_path, f'job{i}', 'time.sleep(0.4)') for i in range(3))])
    first = next(line for line in capsys.readouterr().out.splitlines() if line.startswith('done:'))
    minutes, seconds = re.search(r'; 2 left, about 0:(\d\d):(\d\d)$', first).groups()
    assert 80 <= 60 * int(minutes) + int(seconds) <= 600


def test_processors_and_gpus_are_shared(tmp_path, monkeypatch):
    monkeypatch.delenv('OMP_NUM_THREADS', raising=False)
    monkeypatch.delenv('MASTER_PORT', raising=False)
    names = ('OMP_NUM_THREADS', 'CUDA_VISIBLE_DEVICES', 'MASTER_PORT')
    show = f'print(*map(os.environ.get, {names}), flush=True); time.sleep(0.5)'
    jobs = [job(tmp_path, f'job{i}', show) for i in range(2)]
    assert run(jobs, slots=2, gpus=['0', '1', '2', '3']) == {}
    said = [each.log.read_text().split() for each in jobs]
    share = str(max(len(os.sched_getaffinity(0)) // 2, 1))
    assert said == [[share, '0,1', '29500'], [share, '2,3', '29501']]


def test_more_processes_than_gpus_are_refused_before_anything_starts(tmp_path):
    jobs = [dataclasses.replace(job(tmp_path, f'job{i}', 'pass'), processes=2) for i in range(2)]
    with pytest.raises(ValueError, match='2 runs at a time of 2 processes each need 4 GPUs, and there are 3'):
        run(jobs, slots=2, gpus=['0', '1', '2'])
    assert not any(each.log.exists() for each in jobs)


def test_a_command_that_does_not_exist_stops_no_other(tmp_path):
    missing = job(tmp_path, 'missing')
    missing.command = [str(tmp_path / 'srun')]
    good = job(tmp_path, 'good')
    failures = run([missing, good])
    assert list(failures) == [missing] and 'No such file' in failures[missing] and good.is_done()


def test_the_gpus_are_those_that_the_user_may_see(monkeypatch):
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '2,5')
    assert gpu_names() == ['2', '5']


def test_a_killed_parent_leaves_nobody_running(tmp_path):
    log = tmp_path / 'child.log'
    script = f"""
import sys
from pathlib import Path
from askd_mmdet.experiments import Job, run_jobs
command = [sys.executable, '-c', 'import os, time; print(os.getpid(), flush=True); time.sleep(60)']
run_jobs([Job('child', command, Path({str(log)!r}), 1, lambda: False, lambda: 0)])
"""
    parent = subprocess.Popen([sys.executable, '-c', script], cwd=ROOT)
    deadline = time.time() + 60
    while not (log.is_file() and log.read_text().strip()) and time.time() < deadline:
        time.sleep(0.05)
    child = int(log.read_text())
    os.kill(child, 0)  # it lives
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    while time.time() < deadline:
        try:
            state = Path(f'/proc/{child}/stat').read_text().rsplit(')', 1)[1].split()[0]
        except FileNotFoundError:
            return
        if state == 'Z':
            return
        time.sleep(0.05)
    pytest.fail('the child runs on')


def test_commands_of_the_launchers():
    module = ['-m', 'askd_mmdet', 'train', 'a']
    assert askd('train', 'a') == [sys.executable, *module]
    torchrun = askd('train', 'a', launcher='pytorch', gpus=4)
    assert '--nproc-per-node=4' in torchrun and torchrun[-6:] == [*module, '--launcher', 'pytorch']
    srun = askd('train', 'a', launcher='slurm', gpus=8)
    assert srun[0] == 'srun' and {'--ntasks=8', '--gres=gpu:8'} <= set(srun)
    assert srun[-6:] == [*module, '--launcher', 'slurm']
