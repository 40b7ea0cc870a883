"""Time of an A-SKD training step over that of the plain LR step, on the real configurations.

Both steps are whole ones (forward, backward, optimiser) of one student on the same random pictures; they alternate, and
the medians are compared. Detection: TinaFace R50; recognition: ArcFace IR-50.

What a GPU waits for is how many operators are launched, whatever the machine. They are counted by torch's profiler, in
a step with four pictures; the ratio must not exceed 1.12 in detection and 1.25 in
recognition.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, DefaultScope
from mmengine.structures import InstanceData
from mmengine.utils import import_modules_from_strings
from mmpretrain.structures import DataSample

from askd_mmdet.distillation import DistillationHook

CONFIGS = Path(__file__).resolve().parents[1] / 'configs'


def build(cfg):
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        return MODELS.build(cfg.model).to(get_device()).train()


def faces_to_find(side, generator):
    """A picture's annotation: ten faces."""
    sample = DetDataSample(metainfo=dict(img_shape=(side, side), scale_factor=(1.0, 1.0)))
    corners = torch.rand(10, 2, generator=generator) * side * 0.8
    boxes = torch.cat([corners, corners + side * 0.1], 1)
    sample.gt_instances = InstanceData(bboxes=boxes, labels=torch.zeros(10, dtype=torch.long))
    return sample


def person(side, generator):
    """A picture's annotation: an identity."""
    return DataSample().set_gt_label(torch.randint(10572, (1,), generator=generator))


# Task: config, annotation of a picture, side of the pictures in pixels, pictures in a batch, operators at most.
TASKS = {
    'detection': ('detection/tinaface_r50-bn-cbam_widerface-16x_askd.py', faces_to_find, 320, 1, 1.12),
    'recognition': ('recognition/arcface_ir50-cbam_casia-4x_askd.py', person, 112, 16, 1.25),
}
# Pictures in a step whose operators are counted, as many as TinaFace has.
COUNTED = 4


def operators(run):
    """How many operators are launched: those that no other one calls."""
    with torch.profiler.profile() as profiler:
        run()
    return sum(event.name.startswith('aten::') and not is_inside(event) for event in profiler.events())


def is_inside(event):
    parent = event.cpu_parent
    return parent is not None and (parent.name.startswith('aten::') or is_inside(parent))


def measure(task, side, images, rounds, dtype):
    """Print the medians of both steps, their ratio, and that of their operators.

    Returns:
        Whether that is as small as it should be.
    """
    config, annotate, default_side, default_images, at_most = TASKS[task]
    side, images = side or default_side, images or default_images
    cfg = Config.fromfile(CONFIGS / config)
    import_modules_from_strings(**cfg.custom_imports)
    plain, distilled = build(cfg), build(cfg)
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Path(folder, 'teacher.pth')
        torch.save(build(cfg).state_dict(), checkpoint)
        teacher = dict(model=cfg.model, default_scope=cfg.default_scope)
        hook = DistillationHook(teacher, checkpoint, cfg.custom_hooks[-1].losses, dtype)
        no_data = SimpleNamespace(dataset=[])
        hook.before_train(SimpleNamespace(model=distilled, cfg=cfg, hooks=[], val_loop=None, train_dataloader=no_data))
    optimisers = {model: build_optim_wrapper(model, cfg.optim_wrapper) for model in (plain, distilled)}

    def step(model, images, side):
        generator = torch.Generator().manual_seed(0)
        pictures = torch.randint(0, 256, (2, images, 3, side, side), generator=generator, dtype=torch.uint8)
        data = dict(inputs=list(pictures[0]), data_samples=[annotate(side, generator) for _ in range(images)])
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        start = time.perf_counter()
        if model is distilled:
            hook.hr_inputs = list(pictures[1])
        model.train_step(data, optimisers[model])
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return time.perf_counter() - start

    times = np.array([[step(model, images, side) for model in (plain, distilled)] for _ in range(rounds + 1)])[1:]
    base, askd = np.median(times, axis=0)
    print(f'{task}: {images} picture(s) of {side}x{side}, {rounds} rounds, {torch.get_num_threads()} threads')
    print(
        f'LR step {base:.3f} s, A-SKD step {askd:.3f} s with a teacher in {dtype}, ratio {askd / base:.3f}', flush=True
    )
    counts = [operators(lambda m=model: step(m, COUNTED, default_side)) for model in (plain, distilled)]
    ratio = counts[1] / counts[0]
    print(f'operators {counts[0]}, {counts[1]}, ratio {ratio:.3f}, at most {at_most}', flush=True)
    return ratio <= at_most


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        '--tasks', nargs='+', choices=TASKS, default=list(TASKS), help='what to measure (default: both)'
    )
    parser.add_argument('--size', type=int, help='side of the pictures in pixels (default: 320 and 112)')
    parser.add_argument('--images', type=int, help='pictures in a batch (default: 1 and 16)')
    parser.add_argument('--rounds', type=int, default=9, help='steps of each kind (default: %(default)s)')
    parser.add_argument(
        '--dtypes',
        nargs='+',
        default=['float32', 'bfloat16'],
        help='of the teacher, one after the other (default: both)',
    )
    args = parser.parse_args()
    met = [measure(task, args.size, args.images, args.rounds, dtype) for task in args.tasks for dtype in args.dtypes]
    sys.exit(0 if all(met) else 'too many operators')


if __name__ == '__main__':
    main()
