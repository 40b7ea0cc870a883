"""What watching the attention costs: the hook's share of a validation, and the memory of half a million maps.

    OMP_NUM_THREADS=1 python benchmarks/correlation.py [--pictures 200] [--rounds 3] [--maps 500000]

Validation: AttentionCorrelationHook at its default, one picture in a hundred, in a whole validation of the toy's A-SKD
student (TinaFace, ArcFace, both untrained) on generated data; what it takes is timed inside the same validations, the
first one, which also reads the pictures and asks the teacher, apart from the later ones (target: at most 2 %). Both are
on the CPU, in one process.

Memory: as many maps of 14x14 numbers as CASIA-WebFace has pictures, of student and teacher, streamed into a Correlation
(target: no more at the end than after a fifth, and r of the first tenth as SciPy's on all its numbers, to 1e-6).
"""

import argparse
import tempfile
import time
import tracemalloc
from pathlib import Path
from statistics import median

import numpy as np
import torch
from mmengine.registry import RUNNERS
from scipy.stats import pearsonr

from askd_mmdet.analysis.correlation import Correlation
from askd_mmdet.distillation import AttentionCorrelationHook
from askd_mmdet.openmmlab import load
from askd_mmdet.toy import make_face_identities, make_wider_face
from askd_mmdet.training import build_model
from askd_mmdet.training.config import load_config
from askd_mmdet.training.launch import distillation_of

SIDE = 14


def wider_face(folder, pictures):
    make_wider_face(folder, train_images=16, val_images=pictures, size=(160, 160))


def identities(folder, pictures):
    counts = dict(train_pictures=1, pairs=pictures // 2, probes=8, gallery=8, distractors=4)
    make_face_identities(folder, **counts)


# Task: the student's config, its teacher's, and what makes its data.
TASKS = {
    'detection': ('tinaface_r50-bn-cbam_toy-4x_askd', 'tinaface_r50-bn-cbam_toy', wider_face),
    'recognition': ('arcface_ir18-cbam_toy-8x_askd', 'arcface_ir18-cbam_toy', identities),
}


def runner_of(task, pictures, folder):
    """A student after one training step, whose teacher is there."""
    student, teacher, make = TASKS[task]
    make(folder / 'data', pictures)
    cfg = load_config(f'askd_mmdet::toy/{student}.py')
    load(cfg.default_scope)
    torch.save(build_model(load_config(f'askd_mmdet::toy/{teacher}.py')).state_dict(), folder / 'teacher.pth')
    distillation_of(cfg).checkpoint = str(folder / 'teacher.pth')
    for split in ('train', 'val', 'test'):
        cfg[f'{split}_dataloader'].update(num_workers=0)
        cfg[f'{split}_dataloader'].dataset.data_root = str(folder / 'data')
    if task == 'detection':
        for evaluator in (cfg.val_evaluator, cfg.test_evaluator):
            evaluator.ground_truth = f'{folder}/data/eval_tools/ground_truth'
    cfg.train_dataloader.dataset.indices = cfg.train_dataloader.batch_size
    cfg.train_cfg.update(max_epochs=1, val_begin=2)
    cfg.update(work_dir=str(folder / 'run'), log_level='ERROR')
    runner = RUNNERS.build(cfg)
    runner.train()
    return runner


def validation(runner):
    """Seconds of a validation, and those of the hook in it."""
    (hook,) = (hook for hook in runner.hooks if isinstance(hook, AttentionCorrelationHook))
    spent = 0.0

    def timed(*args, **kwargs):
        nonlocal spent
        start = time.perf_counter()
        AttentionCorrelationHook.before_val_iter(hook, *args, **kwargs)
        spent += time.perf_counter() - start

    hook.before_val_iter = timed
    start = time.perf_counter()
    runner.val_loop.run()
    return time.perf_counter() - start, spent


def batches(count):
    """Maps of a student and of a teacher that it half follows, a thousand at a time."""
    generator = np.random.default_rng(0)
    for _ in range(count // 1000):
        teacher, own = generator.random((2, 1000, 1, SIDE, SIDE), np.float32)
        yield (teacher + own) / 2, teacher


def stream(count):
    """The correlation, and KiB of memory that it and one batch took at most, in the first fifth and in the rest."""
    correlation, peaks = Correlation(), []
    tracemalloc.start()
    for done, (student, teacher) in enumerate(batches(count)):
        if done == count // 5000:
            peaks.append(tracemalloc.get_traced_memory()[1] // 1024)
            tracemalloc.reset_peak()
        correlation.update(student, teacher)
    peaks.append(tracemalloc.get_traced_memory()[1] // 1024)
    tracemalloc.stop()
    return correlation, peaks


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (('pictures', 200), ('rounds', 3), ('maps', 500_000)):
        parser.add_argument(f'--{name}', type=int, default=value)
    args = parser.parse_args()
    start = time.perf_counter()
    correlation, (early, late) = stream(args.maps)
    seconds = time.perf_counter() - start
    print(
        f'{args.maps} maps, {correlation.count} numbers: {seconds:.0f} s; {early} KiB in the first fifth, {late} later'
    )
    few = list(batches(args.maps // 10))
    expected = pearsonr(*(np.concatenate(side).ravel().astype(float) for side in zip(*few))).statistic
    print(f"r of a tenth differs from SciPy's by {abs(stream(args.maps // 10)[0].r - expected):.0e}")
    for task in TASKS:
        with tempfile.TemporaryDirectory() as folder:
            runner = runner_of(task, args.pictures, Path(folder))
            times = [validation(runner) for _ in range(args.rounds + 1)]
        (whole, first), later = times[0], times[1:]
        share = median(hook / validation for validation, hook in later)
        print(
            f'{task}: {len(runner.val_dataloader.dataset)} pictures, validation {median(next(zip(*later))):.2f} s; the '
            f'hook takes {first / whole:.2%} of the first and {share:.2%} of a later one',
            flush=True,
        )


if __name__ == '__main__':
    main()
