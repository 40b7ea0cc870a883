"""Time of an A-SKD training step over that of the plain LR step, on the real R50 configuration.

Both steps are whole ones (forward, backward, optimiser) of one student on the same random pictures; they alternate, and
the medians are compared.
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

from askd_mmdet.distillation import DistillationHook

CONFIG = Path(__file__).resolve().parents[1] / 'configs/detection/tinaface_r50-bn-cbam_widerface-16x_askd.py'


def build(cfg):
    with DefaultScope.overwrite_default_scope('mmdet'):
        return MODELS.build(cfg.model).to(get_device()).train()


def batch(images, side):
    """Random pictures with ten faces each."""
    generator = torch.Generator().manual_seed(0)
    pictures = torch.randint(0, 256, (2, images, 3, side, side), generator=generator, dtype=torch.uint8)
    samples = []
    for _ in range(images):
        sample = DetDataSample(metainfo=dict(img_shape=(side, side), scale_factor=(1.0, 1.0)))
        corners = torch.rand(10, 2, generator=generator) * side * 0.8
        boxes = torch.cat([corners, corners + side * 0.1], 1)
        sample.gt_instances = InstanceData(bboxes=boxes, labels=torch.zeros(10, dtype=torch.long))
        samples.append(sample)
    return dict(inputs=list(pictures[0]), data_samples=samples), list(pictures[1])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--size', type=int, default=320, help='side of the pictures in pixels')
    parser.add_argument('--images', type=int, default=1, help='pictures in a batch')
    parser.add_argument('--rounds', type=int, default=9, help='steps of each kind')
    args = parser.parse_args()

    cfg = Config.fromfile(CONFIG)
    plain, distilled = build(cfg), build(cfg)
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Path(folder, 'teacher.pth')
        torch.save(build(cfg).state_dict(), checkpoint)
        hook = DistillationHook(dict(model=cfg.model, default_scope='mmdet'), checkpoint, cfg.custom_hooks[-1].losses)
        hook.before_train(SimpleNamespace(model=distilled))
    optimisers = {model: build_optim_wrapper(model, cfg.optim_wrapper) for model in (plain, distilled)}
    data, hr_inputs = batch(args.images, args.size)

    def step(model):
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        start = time.perf_counter()
        if model is distilled:
            hook.hr_inputs = hr_inputs
        model.train_step(data, optimisers[model])
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return time.perf_counter() - start

    times = np.array([[step(plain), step(distilled)] for _ in range(args.rounds + 1)])[1:]
    base, askd = np.median(times, axis=0)
    print(
        f'{args.images} picture(s) of {args.size}x{args.size}, {args.rounds} rounds, {torch.get_num_threads()} threads'
    )
    print(f'LR step {base:.3f} s, A-SKD step {askd:.3f} s, ratio {askd / base:.3f}')


if __name__ == '__main__':
    main()
