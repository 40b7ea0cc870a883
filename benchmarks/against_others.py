"""A step of A-SKD on ArcFace by this project, by a plain loop of PyTorch, and in the way of the authors' code.

All three train one IR-50 with CBAM in float32 from the same weights on the same HR pictures, with SGD, margin softmax
and the cosine distance of all attention maps to those of a frozen teacher. A step begins with HR pictures in memory,
degrades them, and ends with new weights; so our time includes what the workers do in a training, since the authors
degrade within the step.

- ours: `LowResolution` of the config picture by picture, its collate function, `DistillationHook`, whose teacher is
  folded and runs no further than its last map, and `train_step`;
- plain: what one writes by hand: the same LR pictures, forward hooks, one distance a layer, an untouched teacher;
- authors: as their code does, by its description: the degradation by nearest neighbour and a Gaussian on the normalised
  batch, distances without the 1/2, and else as plain;
- alone: plain without a teacher, which no way to distil in float32 can undercut: it bounds what can be won.

The losses of ours and plain must be equal. Processor time on a CPU, seconds on a GPU, medians of rounds that alternate.
Ours must take at most 1.05 times the plain loop, and the authors' way at least 1.3 times as long as ours.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.optim import build_optim_wrapper
from mmengine.registry import FUNCTIONS, MODELS, TRANSFORMS, DefaultScope
from mmengine.utils import import_modules_from_strings
from torchvision.transforms.functional import gaussian_blur

from askd_mmdet.degradation import low_resolution
from askd_mmdet.distillation import DistillationHook

CONFIG = Path(__file__).resolve().parents[1] / 'configs/recognition/arcface_ir50-cbam_casia-4x_askd.py'
RATIO = 4


def tensors(pictures):
    return torch.from_numpy(np.ascontiguousarray(pictures.transpose(0, 3, 1, 2)))


def normalised(pictures):
    return (pictures.to(get_device()).float() - 127.5) / 127.5


def degraded(pictures):
    return tensors(np.stack([low_resolution(picture, RATIO) for picture in pictures]))


class Ours:
    def __init__(self, cfg, model, checkpoint):
        self.model = model
        self.optimiser = build_optim_wrapper(model, cfg.optim_wrapper)
        with DefaultScope.overwrite_default_scope(cfg.default_scope):
            self.degrade = TRANSFORMS.build(cfg.train_dataloader.dataset.pipeline[-1])
            self.collate = FUNCTIONS.get(cfg.train_dataloader.collate_fn.type)
        teacher = dict(model=cfg.model, default_scope=cfg.default_scope)
        self.hook = DistillationHook(teacher, checkpoint, cfg.custom_hooks[-1].losses)
        loader = SimpleNamespace(dataset=[])
        self.runner = SimpleNamespace(model=model, cfg=cfg, hooks=[], val_loop=None, train_dataloader=loader)
        self.hook.before_train(self.runner)

    def step(self, pictures, labels):
        pairs = zip(pictures, labels.tolist())
        batch = self.collate([self.degrade(dict(img=picture, gt_label=label)) for picture, label in pairs])
        self.hook.before_train_iter(self.runner, 0, batch)
        return self.model.train_step(batch, self.optimiser)['loss'].item()


class Plain:
    """A loop by hand."""

    weight = 2.5  # lambda is 5, and eq. 8 halves the sum of both distances

    def __init__(self, cfg, model, teacher):
        self.student, self.teacher = model, teacher.eval()
        self.maps = {network: [] for network in (model, teacher)}
        for network, maps in self.maps.items():
            for name, module in network.named_modules():
                if name.endswith(('channel_attention', 'spatial_attention')):
                    module.register_forward_hook(lambda module, inputs, output, maps=maps: maps.append(output))
        settings = {key: value for key, value in cfg.optim_wrapper.optimizer.items() if key != 'type'}
        self.optimiser = torch.optim.SGD(model.parameters(), **settings)

    def degrade(self, pictures):
        return normalised(degraded(pictures))

    @torch.no_grad()
    def teach(self, hr):
        self.teacher.backbone(hr)

    def step(self, pictures, labels):
        hr, lr, labels = normalised(tensors(pictures)), self.degrade(pictures), labels.to(get_device())
        for maps in self.maps.values():
            maps.clear()
        self.teach(hr)
        embeddings = self.student.backbone(lr)[-1]
        weight = self.student.head.norm_product.weight
        cosines = F.linear(F.normalize(embeddings), F.normalize(weight)).clamp(-1 + 1e-7, 1 - 1e-7)
        own = cosines.gather(1, labels[:, None])
        fallback = own - 0.5 * np.sin(np.pi - 0.5)
        own = torch.where(own > np.cos(np.pi - 0.5), (own.acos() + 0.5).cos(), fallback)
        loss = F.cross_entropy(32 * cosines.scatter(1, labels[:, None], own), labels)
        for s, t in zip(*self.maps.values()):
            loss = loss + self.weight * (1 - F.cosine_similarity(s.flatten(1), t.flatten(1))).mean()
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        return loss.item()


class Alone(Plain):
    """A loop that distils nothing."""

    def teach(self, hr):
        pass


class Authors(Plain):
    """Their recipe, on the batch."""

    weight = 5  # without the 1/2

    def degrade(self, pictures):
        hr = normalised(tensors(pictures))
        small = F.interpolate(hr, scale_factor=1 / RATIO)
        return gaussian_blur(F.interpolate(small, hr.shape[2:]), [5, 5], [0.1, 2.0])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--images', type=int, default=16, help='pictures in a batch (default: %(default)s)')
    parser.add_argument('--depth', type=int, default=50, help='of the IR-ResNet (default: %(default)s)')
    parser.add_argument('--rounds', type=int, default=7, help='steps of each (default: %(default)s)')
    args = parser.parse_args()
    cfg = Config.fromfile(CONFIG)
    import_modules_from_strings(**cfg.custom_imports)
    cfg.model.backbone.update(depth=args.depth, dropout=0.0)  # which would draw otherwise in every one

    def build(seed):
        torch.manual_seed(seed)
        with DefaultScope.overwrite_default_scope(cfg.default_scope):
            return MODELS.build(cfg.model).to(get_device()).train()

    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Path(folder, 'teacher.pth')
        torch.save(build(1).state_dict(), checkpoint)
        sides = dict(
            ours=Ours(cfg, build(0), checkpoint),
            plain=Plain(cfg, build(0), build(1)),
            authors=Authors(cfg, build(0), build(1)),
            alone=Alone(cfg, build(0), build(1)),
        )
    generator = np.random.default_rng(0)
    pictures = generator.integers(0, 256, (args.images, 112, 112, 3), np.uint8)
    labels = torch.from_numpy(generator.integers(0, cfg.model.head.num_classes, args.images))
    clock = time.perf_counter if torch.cuda.is_available() else time.process_time
    times, losses = {name: [] for name in sides}, {name: [] for name in sides}
    for _ in range(args.rounds + 1):
        for name, side in sides.items():
            start = clock()
            losses[name].append(side.step(pictures, labels))
            times[name].append(clock() - start)
    # The second losses are equal where the first gradients were.
    assert np.allclose(losses['ours'][:2], losses['plain'][:2], rtol=1e-4), losses
    ours, plain, authors, alone = (np.median(times[name][1:]) for name in sides)
    print(f'IR-{args.depth}, {args.images} pictures, {args.rounds} rounds, {torch.get_num_threads()} threads')
    print('from HR pictures to new weights, the degradation of the batch included on every side:')
    print(f'ours {ours:.3f} s, by hand {plain:.3f} s, in the way of the authors {authors:.3f} s, alone {alone:.3f} s')
    print(f'ours over by hand {ours / plain:.3f}, at most 1.05; authors over ours {authors / ours:.3f}, at least 1.3')
    print(f'authors over alone, the most that can be won with a teacher that costs nothing: {authors / alone:.3f}')
    sys.exit(0 if ours <= 1.05 * plain and authors >= 1.3 * ours else 'a target is missed')


if __name__ == '__main__':
    main()
