"""How often a training step waits for the device, by who waits: in ours, in MMDetection, in MMEngine, ...

    OMP_NUM_THREADS=1 python benchmarks/waits.py [--tasks detection recognition classification]

A wait is a look at a number or a shape that the device has yet to compute (`item`, `tolist`, `cpu`, `bool`, `nonzero`,
a boolean index) or a tensor made from numbers (`new_tensor`). Meanwhile no operator is launched, and a GPU runs dry.
They are counted on the CPU, where nothing waits: all tensors are taken for the device's but those that `cpu` returned.
What is not counted is the sending of the batch to the device.

The steps are those of the real configurations under their Runner with all hooks, plain and with A-SKD, on random
pictures; the second one counts, since some things are made ready in the first. A-SKD must add no wait, and all of ours
together must wait once at most.
"""

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path

import torch
from mmdet.structures import DetDataSample
from mmengine.hooks import Hook
from mmengine.registry import DATASETS, RUNNERS, DefaultScope
from mmengine.structures import InstanceData
from mmpretrain.structures import DataSample
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from askd_mmdet.training import build_model
from askd_mmdet.training.config import load_config

# Task: its plain config and the one with A-SKD, side of its pictures in pixels, pictures in a batch.
TASKS = {
    'detection': ('detection/tinaface_r50-bn-cbam_widerface-16x{}.py', 320, 4),
    'recognition': ('recognition/arcface_ir50-cbam_casia-4x{}.py', 112, 4),
    'classification': ('classification/resnet50-cbam_imagenet-4x{}.py', 224, 4),
}
OWNERS = ('askd_mmdet', 'mmdet', 'mmpretrain', 'mmcv', 'mmengine')
aten = torch.ops.aten
# Whose result has a shape that depends on numbers, or is a number.
OPERATORS = {
    aten._local_scalar_dense,
    aten.nonzero,
    aten.masked_select,
    aten.equal,
    aten.bincount,
    aten._unique2,
    aten.unique_dim,
    aten.unique_consecutive,
    aten.repeat_interleave,
}
INDEXING = {aten.index, aten.index_put, aten.index_put_}


class OnHost(Tensor):
    """What the device has handed over, and what is computed from it."""


def place():
    """Who waits, and where: the innermost function that is not torch's."""
    frame = sys._getframe(1)
    while frame := frame.f_back:
        parts = Path(frame.f_code.co_filename).parts
        for owner in OWNERS:
            # The last one is the package: a checkout may have its name, too.
            if owner in parts[:-1] and 'torch' not in parts:
                return owner, f'{parts[-1]}:{frame.f_lineno} {frame.f_code.co_qualname}'
    return 'others', '?'


class Methods(TorchFunctionMode):
    """Counts the waits of methods that are no operators on the CPU, and lets tensors deny that they are there."""

    def __init__(self, waits):
        super().__init__()
        self.waits = waits

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        tensor = args[0] if args else None
        if function == Tensor.is_cpu.__get__:
            return isinstance(tensor, OnHost)
        made = function in (torch.tensor, torch.as_tensor) and kwargs.get('device') and not isinstance(tensor, Tensor)
        if made or (function in (Tensor.cpu, Tensor.tolist, Tensor.new_tensor) and not isinstance(tensor, OnHost)):
            self.waits[place()] += 1
        result = function(*args, **kwargs)
        return result.as_subclass(OnHost) if function is Tensor.cpu else result


class Operators(TorchDispatchMode):
    """Counts the operators that wait."""

    def __init__(self, waits):
        super().__init__()
        self.waits = waits

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        operator = function.overloadpacket
        masked = operator in INDEXING and any(i is not None and i.dtype == torch.bool for i in args[1])
        if (masked or operator in OPERATORS) and not isinstance(args[0], OnHost):
            self.waits[place()] += 1
        return function(*args, **(kwargs or {}))


class LastStep(Hook):
    """Forgets the waits of the first step."""

    priority = 'LOWEST'

    def __init__(self, waits):
        self.waits, self.last = waits, Counter()

    def after_train_iter(self, runner, **kwargs):
        self.last = Counter(self.waits)
        self.waits.clear()


@DATASETS.register_module()
class RandomPictures(torch.utils.data.Dataset):
    """Two batches of random pictures with ten faces, or with a label."""

    def __init__(self, task, paired, side, images):
        self.task, self.paired, self.side, self.count = task, paired, side, 2 * images

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        picture = torch.randint(0, 256, (3, self.side, self.side), dtype=torch.uint8)
        sample = dict(inputs=picture, data_samples=self.faces() if self.task == 'detection' else self.label(index))
        return dict(sample, hr_inputs=picture) if self.paired else sample

    def faces(self):
        corners = torch.rand(10, 2) * self.side * 0.8
        sample = DetDataSample(metainfo=dict(img_shape=(self.side, self.side), scale_factor=(1.0, 1.0)))
        boxes = torch.cat([corners, corners + self.side * 0.1], 1)
        sample.gt_instances = InstanceData(bboxes=boxes, labels=torch.zeros(10, dtype=torch.long))
        return sample

    def label(self, index):
        return DataSample().set_gt_label(index)


def count(task, askd):
    """Waits of a step, by owner and place."""
    name, side, images = TASKS[task]
    cfg = load_config(f'askd_mmdet::{name.format("_askd" if askd else "")}')
    cfg.model.backbone.init_cfg = None
    cfg.train_dataloader.update(batch_size=images, num_workers=0, pin_memory=False)
    cfg.train_dataloader.dataset = dict(type='RandomPictures', task=task, paired=askd, side=side, images=images)
    for stage in ('val', 'test'):
        for part in ('cfg', 'dataloader', 'evaluator'):
            cfg[f'{stage}_{part}'] = None
    cfg.train_cfg = dict(by_epoch=True, max_epochs=1)
    cfg.default_hooks.logger.interval = 1
    cfg.log_level = 'ERROR'
    cfg.default_hooks.checkpoint = dict(type='CrashSafeCheckpointHook', interval=2, save_last=False)
    waits = Counter()
    with tempfile.TemporaryDirectory() as folder:
        cfg.work_dir = folder
        if askd:
            cfg.custom_hooks[-1].checkpoint = f'{folder}/teacher.pth'
            teacher = load_config(cfg.custom_hooks[-1].teacher)
            with DefaultScope.overwrite_default_scope(teacher.default_scope):
                torch.save(build_model(teacher).state_dict(), f'{folder}/teacher.pth')
        runner = RUNNERS.get(cfg.runner_type).from_cfg(cfg)
        step = LastStep(waits)
        runner.register_hook(step)
        with Methods(waits), Operators(waits):
            runner.train()
    return step.last


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--tasks', nargs='+', choices=TASKS, default=list(TASKS), help='what to count (default: all)')
    faults = []
    for task in parser.parse_args().tasks:
        plain, askd = (count(task, each) for each in (False, True))
        print(f'{task}: a plain step waits {plain.total()} times, one with A-SKD {askd.total()} times', flush=True)
        for (owner, where), times in sorted(askd.items(), key=lambda item: (item[0][0], -item[1])):
            print(f'  {owner:10} {times:4} {where}')
        if askd.total() > plain.total():
            faults.append(f'{task}: A-SKD adds {askd.total() - plain.total()} waits: {dict(askd - plain)}')
        if (ours := sum(times for (owner, _), times in askd.items() if owner == 'askd_mmdet')) > 1:
            faults.append(f'{task}: ours wait {ours} times')
    sys.exit('\n'.join(faults) or 0)


if __name__ == '__main__':
    main()
