"""Time of an A-SKD training step over that of the plain LR step, on the real configurations.

Both steps are whole ones (forward, backward, optimiser) of one student on the same random pictures; they alternate, and
the medians are compared: of processor time on a CPU, of seconds on a GPU. Detection: TinaFace R50; recognition: ArcFace
IR-50.

In recognition, whose only random step is a flip, the teacher's maps may also come from a store
(`DistillationHook(store=True)`): that step must not take longer than 1.03 times the plain one.

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
from mmengine.registry import DATASETS, MODELS, DefaultScope
from mmengine.structures import InstanceData
from mmengine.utils import import_modules_from_strings
from mmpretrain.structures import DataSample
from PIL import Image

from askd_mmdet.distillation import DistillationHook

CONFIGS = Path(__file__).resolve().parents[1] / 'configs'


def build(cfg):
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        return MODELS.build(cfg.model).to(get_device()).train()


def faces_to_find(side, index, generator):
    """A picture's annotation: ten faces."""
    sample = DetDataSample(metainfo=dict(img_shape=(side, side), scale_factor=(1.0, 1.0)))
    corners = torch.rand(10, 2, generator=generator) * side * 0.8
    boxes = torch.cat([corners, corners + side * 0.1], 1)
    sample.gt_instances = InstanceData(bboxes=boxes, labels=torch.zeros(10, dtype=torch.long))
    return sample


def person(side, index, generator):
    """A picture's annotation: an identity."""
    return DataSample(metainfo=dict(sample_idx=index, flip=False)).set_gt_label(
        torch.randint(10572, (1,), generator=generator)
    )


def people(loader, folder, pictures):
    """A training set of one person's pictures of noise, through the pipeline of the config."""
    (folder / 'somebody').mkdir(parents=True)
    for i in range(pictures):
        noise = np.random.default_rng(i).integers(0, 256, (112, 112, 3), np.uint8)
        Image.fromarray(noise).save(folder / f'somebody/{i:03}.png')
    loader.dataset = dict(type='FaceFolderDataset', data_root=str(folder), pipeline=loader.dataset.pipeline)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return DATASETS.build(loader.dataset)


# Task: config, annotation of a picture, side of the pictures in pixels, pictures in a batch, operators at most.
TASKS = {
    'detection': ('detection/tinaface_r50-bn-cbam_widerface-16x_askd.py', faces_to_find, 320, 1, 1.12),
    'recognition': ('recognition/arcface_ir50-cbam_casia-4x_askd.py', person, 112, 16, 1.25),
}
# Times the plain step, with maps from a store.
STORED_AT_MOST = 1.03
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
    plain, distilled, stored = (build(cfg) for _ in range(3))
    hooks = {}
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Path(folder, 'teacher.pth')
        torch.save(build(cfg).state_dict(), checkpoint)
        teacher = dict(model=cfg.model, default_scope=cfg.default_scope)
        runner = SimpleNamespace(cfg=cfg, hooks=[], val_loop=None, train_dataloader=SimpleNamespace(dataset=[]))
        hooks[distilled] = DistillationHook(teacher, checkpoint, cfg.custom_hooks[-1].losses, dtype)
        if task == 'recognition':
            runner.train_dataloader.dataset = people(cfg.train_dataloader, Path(folder, 'people'), images)
            hooks[stored] = DistillationHook(teacher, checkpoint, cfg.custom_hooks[-1].losses, dtype, store=True)
        for model, hook in hooks.items():
            runner.model = model
            hook.before_train(runner)
    models = plain, *hooks
    optimisers = {model: build_optim_wrapper(model, cfg.optim_wrapper) for model in models}

    clock = time.perf_counter if torch.cuda.is_available() else time.process_time

    def step(model, images, side):
        generator = torch.Generator().manual_seed(0)
        pictures = torch.randint(0, 256, (2, images, 3, side, side), generator=generator, dtype=torch.uint8)
        data = dict(inputs=list(pictures[0]), data_samples=[annotate(side, i, generator) for i in range(images)])
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        start = clock()
        if model is distilled:
            hooks[distilled].hr_inputs = list(pictures[1])
        model.train_step(data, optimisers[model])
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return clock() - start

    times = np.array([[step(model, images, side) for model in models] for _ in range(rounds + 1)])[1:]
    base, askd, *from_store = np.median(times, axis=0)
    print(f'{task}: {images} picture(s) of {side}x{side}, {rounds} rounds, {torch.get_num_threads()} threads')
    print(
        f'LR step {base:.3f} s, A-SKD step {askd:.3f} s with a teacher in {dtype}, ratio {askd / base:.3f}', flush=True
    )
    for seconds in from_store:
        print(
            f'A-SKD step with maps from a store {seconds:.3f} s, ratio {seconds / base:.3f}, at most {STORED_AT_MOST}'
        )
    counts = [operators(lambda m=model: step(m, COUNTED, default_side)) for model in (plain, distilled)]
    ratio = counts[1] / counts[0]
    print(f'operators {counts[0]}, {counts[1]}, ratio {ratio:.3f}, at most {at_most}', flush=True)
    return ratio <= at_most and all(seconds <= STORED_AT_MOST * base for seconds in from_store)


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
    sys.exit(0 if all(met) else 'a target is missed')


if __name__ == '__main__':
    main()
