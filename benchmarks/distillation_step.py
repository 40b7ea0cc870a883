"""Time of an A-SKD training step over that of the plain LR step, on the real configurations.

Both steps are whole ones (forward, backward, optimiser) of one student on the same random pictures; they alternate, and
the medians are compared. Detection: TinaFace R50; recognition: ArcFace IR-50.
"""

import argparse
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


# Task: config, annotation of a picture, side of the pictures in pixels, pictures in a batch.
TASKS = {
    'detection': ('detection/tinaface_r50-bn-cbam_widerface-16x_askd.py', faces_to_find, 320, 1),
    'recognition': ('recognition/arcface_ir50-cbam_casia-4x_askd.py', person, 112, 16),
}


def measure(task, side, images, rounds, dtype):
    """Print the medians of both steps and their ratio."""
    config, annotate, default_side, default_images = TASKS[task]
    side, images = side or default_side, images or default_images
    cfg = Config.fromfile(CONFIGS / config)
    import_modules_from_strings(**cfg.custom_imports)
    plain, distilled = build(cfg), build(cfg)
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Path(folder, 'teacher.pth')
        torch.save(build(cfg).state_dict(), checkpoint)
        teacher = dict(model=cfg.model, default_scope=cfg.default_scope)
        hook = DistillationHook(teacher, checkpoint, cfg.custom_hooks[-1].losses, dtype)
        hook.before_train(SimpleNamespace(model=distilled))
    optimisers = {model: build_optim_wrapper(model, cfg.optim_wrapper) for model in (plain, distilled)}
    generator = torch.Generator().manual_seed(0)
    pictures = torch.randint(0, 256, (2, images, 3, side, side), generator=generator, dtype=torch.uint8)
    data = dict(inputs=list(pictures[0]), data_samples=[annotate(side, generator) for _ in range(images)])

    def step(model):
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        start = time.perf_counter()
        if model is distilled:
            hook.hr_inputs = list(pictures[1])
        model.train_step(data, optimisers[model])
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return time.perf_counter() - start

    times = np.array([[step(plain), step(distilled)] for _ in range(rounds + 1)])[1:]
    base, askd = np.median(times, axis=0)
    print(f'{task}: {images} picture(s) of {side}x{side}, {rounds} rounds, {torch.get_num_threads()} threads')
    print(
        f'LR step {base:.3f} s, A-SKD step {askd:.3f} s with a teacher in {dtype}, ratio {askd / base:.3f}', flush=True
    )


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
    for task in args.tasks:
        for dtype in args.dtypes:
            measure(task, args.size, args.images, args.rounds, dtype)


if __name__ == '__main__':
    main()
