"""How fast real steps are, printed and not asserted: A-SKD over the plain step, and what the GPU could do."""

import subprocess
import sys
import time
from importlib.util import module_from_spec, spec_from_file_location

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.utils import import_modules_from_strings
from torch.utils.flop_counter import FlopCounterMode

from askd_mmdet.training.amp import mixed
from askd_mmdet.training.layout import channels_last
from tests.toy_run import ROOT

BENCHMARK = ROOT / 'benchmarks/distillation_step.py'
# Of a step, on a GPU and where the test itself is tried.
IMAGES = {'cuda': {'detection': 4, 'recognition': 128}, 'cpu': {'detection': 1, 'recognition': 2}}
SIDES = {'cuda': {'detection': 640, 'recognition': 112}, 'cpu': {'detection': 320, 'recognition': 112}}


def seconds(run, rounds):
    """Median of a step's time, once it is warm."""
    times = []
    for _ in range(rounds + 3):
        start = time.perf_counter()
        run()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return sorted(times[3:])[rounds // 2]


@pytest.mark.parametrize('task', ['detection', 'recognition'])
def test_the_distilled_step_over_the_plain_one(cuda, task):
    size = ['--size', str(SIDES['cuda'][task]), '--images', str(IMAGES['cuda'][task])]
    command = [sys.executable, str(BENCHMARK), '--tasks', task, *size]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    print(f'\n{done.stdout}')
    assert 'A-SKD step' in done.stdout, done.stderr[-3000:]


@pytest.mark.parametrize('last', [False, True], ids=['contiguous', 'channels_last'])
@pytest.mark.parametrize('amp', [None, 'bfloat16'])
@pytest.mark.parametrize('task', ['detection', 'recognition'])
def test_the_plain_step_against_the_peak(device, task, amp, last):
    """The peak is what a product of large matrices reaches in the same precision."""
    spec = spec_from_file_location('distillation_step', BENCHMARK)
    spec.loader.exec_module(benchmark := module_from_spec(spec))
    config, annotate, *_ = benchmark.TASKS[task]
    cfg = Config.fromfile(benchmark.CONFIGS / config)
    import_modules_from_strings(**cfg.custom_imports)
    model = benchmark.build(cfg)
    model = channels_last(model) if last else model
    optimizer = build_optim_wrapper(model, mixed(cfg.optim_wrapper, amp))
    images, side, rounds = IMAGES[device][task], SIDES[device][task], 20 if device == 'cuda' else 1

    def step():
        generator = torch.Generator().manual_seed(0)
        pictures = torch.randint(0, 256, (images, 3, side, side), generator=generator, dtype=torch.uint8)
        samples = [annotate(side, i, generator) for i in range(images)]
        losses = model.train_step(dict(inputs=list(pictures), data_samples=samples), optimizer)
        assert losses['loss'].isfinite()

    with FlopCounterMode(display=False) as counter:
        step()
    size = 8192 if device == 'cuda' else 1024
    matrix = torch.randn(size, size, device=device, dtype=torch.bfloat16 if amp else torch.float32)
    peak = 2 * size**3 / seconds(lambda: matrix @ matrix, rounds)
    took = seconds(step, rounds)
    speed = counter.get_total_flops() / took
    print(
        f'\n{task}, {amp or "float32"}: {images} pictures of {side}x{side} in {took:.4f} s, {images / took:.1f} a '
        f'second, {speed / 1e12:.2f} TFLOP/s, {speed / peak:.1%} of what a product of matrices reaches'
    )
    assert speed > 0
