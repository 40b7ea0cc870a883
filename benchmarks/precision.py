"""Processor time of a plain training step in bfloat16, and channels last, over that in float32 as torch lays it out.

The four steps are whole ones of one network on the same random pictures. They alternate, and medians of processor time
are compared, since a machine may have other work; on a GPU this says nothing, and `make test-gpu` prints what does.
"""

import argparse
import time

import numpy as np
import torch
from distillation_step import CONFIGS, TASKS, build
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.utils import import_modules_from_strings

from askd_mmdet.training.amp import mixed
from askd_mmdet.training.layout import channels_last

IMAGES = {'detection': 1, 'recognition': 4}
STEPS = [(amp, last) for amp in (None, 'bfloat16') for last in (False, True)]


def measure(task, rounds):
    config, annotate, side, *_ = TASKS[task]
    cfg = Config.fromfile(CONFIGS / config)
    import_modules_from_strings(**cfg.custom_imports)
    generator = torch.Generator().manual_seed(0)
    pictures = torch.randint(0, 256, (IMAGES[task], 3, side, side), generator=generator, dtype=torch.uint8)
    samples = [annotate(side, i, generator) for i in range(IMAGES[task])]
    models = [channels_last(build(cfg)) if last else build(cfg) for _, last in STEPS]
    optimizers = [build_optim_wrapper(m, mixed(cfg.optim_wrapper, amp)) for m, (amp, _) in zip(models, STEPS)]

    def seconds(model, optimizer):
        start = time.process_time()
        model.train_step(dict(inputs=list(pictures), data_samples=samples), optimizer)
        return time.process_time() - start

    times = np.array([[seconds(*each) for each in zip(models, optimizers)] for _ in range(rounds + 1)])[1:]
    plain, *_ = medians = np.median(times, axis=0)
    print(f'{task}: {IMAGES[task]} picture(s) of {side}x{side}, {rounds} rounds')
    for (amp, last), median in zip(STEPS, medians):
        layout = 'channels last' if last else 'as torch lays it out'
        print(f'{amp or "float32"}, {layout}: {median:.3f} s, ratio {median / plain:.3f}', flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--rounds', type=int, default=7, help='steps of each kind (default: %(default)s)')
    args = parser.parse_args()
    for task in TASKS:
        measure(task, args.rounds)


if __name__ == '__main__':
    main()
