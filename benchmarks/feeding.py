"""What a batch costs the training process when its worker stacks it, against a list of single pictures.

    OMP_NUM_THREADS=1 python benchmarks/feeding.py [--batches 40] [--rounds 5]

It is the processor time in which the training process receives A-SKD pairs of the size, of the type and in the batches
of each task's config, from one worker: bytes, but floats in detection, whose distortion makes them.
Target: at most 0.08 ms a pair in recognition.
"""

import argparse
import time
from statistics import median

import torch
from mmengine.dataset import default_collate, pseudo_collate
from mmengine.structures import BaseDataElement
from torch.utils.data import DataLoader, Dataset

from askd_mmdet.training.config import load_config

# Config, side of the pictures in pixels, their type.
TASKS = {
    'detection': ('detection/tinaface_r50-bn-cbam_widerface-16x_askd.py', 640, torch.float32),
    'recognition': ('recognition/arcface_ir50-cbam_casia-4x_askd.py', 112, torch.uint8),
    'ImageNet': ('classification/resnet18-cbam_imagenet-4x_askd-kd.py', 224, torch.uint8),
}


class Pairs(Dataset):
    """HR-LR pairs, each in memory of its own as a pipeline makes them."""

    def __init__(self, count, side, dtype):
        self.count = count
        self.picture = torch.zeros(3, side, side, dtype=dtype)

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        annotation = BaseDataElement(number=index)
        return dict(inputs=self.picture.clone(), hr_inputs=self.picture.clone(), data_samples=annotation)


def seconds(dataset, size, collate):
    """Processor time of this process for one pass, its workers' start left out."""
    batches = iter(DataLoader(dataset, size, num_workers=1, collate_fn=collate))
    next(batches)
    start = time.process_time()
    for batch in batches:
        del batch
    return (time.process_time() - start) / (len(dataset) - size)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--batches', type=int, default=40, help='in a round (default: %(default)s)')
    parser.add_argument('--rounds', type=int, default=5, help='of each kind, in turn (default: %(default)s)')
    args = parser.parse_args()
    for task, (name, side, dtype) in TASKS.items():
        size = load_config(f'askd_mmdet::{name}').train_dataloader.batch_size
        dataset = Pairs(size * (args.batches + 1), side, dtype)
        times = [
            [seconds(dataset, size, collate) for collate in (pseudo_collate, default_collate)]
            for _ in range(args.rounds)
        ]
        listed, stacked = map(median, zip(*times))
        ratio = median(a / b for a, b in times)
        print(
            f'{task}, {size} pairs of {side}x{side}: {1000 * listed:.3f} ms a pair one by one, {1000 * stacked:.3f} ms '
            f'stacked, {ratio:.1f} times as fast',
            flush=True,
        )


if __name__ == '__main__':
    main()
