"""vedadet's TinaFace, as facts about it are known: its modules, their names and their order."""

from functools import partial

import torch
from torch import nn
from torch.nn import functional as F
from torchvision.ops import deform_conv2d


class Deformable(nn.Conv2d):
    """Samples each tap of the filter where a convolution over the features says."""

    def __init__(self, inside, outside, stride):
        super().__init__(inside, outside, 3, stride, 1, bias=False)
        self.conv_offset = nn.Conv2d(inside, 2 * 3 * 3, 3, stride, 1)

    def forward(self, x):
        return deform_conv2d(x, self.conv_offset(x), self.weight, stride=self.stride, padding=1)


class Bottleneck(nn.Module):
    def __init__(self, inside, width, stride, shortcut, kind, deformable):
        super().__init__()
        self.kind = kind
        norm = norms(kind)
        spatial = Deformable if deformable else partial(nn.Conv2d, kernel_size=3, padding=1, bias=False)
        convolutions = (
            nn.Conv2d(inside, width, 1, bias=False),
            spatial(width, width, stride=stride),
            nn.Conv2d(width, 4 * width, 1, bias=False),
        )
        for i, conv in enumerate(convolutions, 1):
            setattr(self, f'conv{i}', conv)
            setattr(self, f'{kind}{i}', norm(conv.out_channels))
        if shortcut:
            self.downsample = nn.Sequential(nn.Conv2d(inside, 4 * width, 1, stride, bias=False), norm(4 * width))

    def forward(self, x):
        out = x
        for i in (1, 2, 3):
            out = getattr(self, f'{self.kind}{i}')(getattr(self, f'conv{i}')(out))
            out = out.relu() if i < 3 else out
        return (out + (self.downsample(x) if hasattr(self, 'downsample') else x)).relu()


class Backbone(nn.Module):
    def __init__(self, kind, deformable):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.first = f'{kind}1'
        setattr(self, self.first, norms(kind)(64))
        inside = 64
        for stage, (blocks, width) in enumerate(zip((3, 4, 6, 3), (64, 128, 256, 512)), 1):
            layer = []
            for block in range(blocks):
                stride = 2 if block == 0 and stage > 1 else 1
                layer.append(Bottleneck(inside, width, stride, block == 0, kind, deformable and stage > 2))
                inside = 4 * width
            setattr(self, f'layer{stage}', nn.Sequential(*layer))

    def forward(self, x):
        x = F.max_pool2d(getattr(self, self.first)(self.conv1(x)).relu(), 3, 2, 1)
        return [x := getattr(self, f'layer{stage}')(x) for stage in (1, 2, 3, 4)]


class Conv(nn.Module):
    def __init__(self, inside, outside, size, kind, stride=1):
        super().__init__()
        self.conv = nn.Conv2d(inside, outside, size, stride, size // 2, bias=False)
        self.kind = kind
        setattr(self, kind, norms(kind)(outside))

    def forward(self, x):
        return getattr(self, self.kind)(self.conv(x))


class Pyramid(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.lateral_convs = nn.ModuleList([Conv(c, 256, 1, kind) for c in (256, 512, 1024, 2048)])
        extra = [Conv(2048, 256, 3, kind, 2), Conv(256, 256, 3, kind, 2)]
        self.fpn_convs = nn.ModuleList([*(Conv(256, 256, 3, kind) for _ in range(4)), *extra])

    def forward(self, stages):
        levels = [conv(x) for conv, x in zip(self.lateral_convs, stages)]
        for i in (2, 1, 0):
            levels[i] = levels[i] + F.interpolate(levels[i + 1], size=levels[i].shape[2:], mode='bilinear')
        outs = [conv(x) for conv, x in zip(self.fpn_convs, levels)]
        outs.append(self.fpn_convs[4](stages[-1]))
        return [*outs, self.fpn_convs[5](outs[-1])]


class Inception(nn.Module):
    def __init__(self, kind):
        super().__init__()
        shapes = ((256, 128), (256, 64), (64, 64), (64, 64), (64, 64))
        self.level_convs = nn.ModuleList([nn.ModuleList([Conv(a, b, 3, kind) for a, b in shapes])])

    def forward(self, levels):
        return [self.context(x) for x in levels]

    def context(self, x):
        convs = self.level_convs[0]
        shared = convs[1](x).relu()
        return torch.cat([convs[0](x), convs[2](shared), convs[4](convs[3](shared).relu())], 1).relu()


class Head(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.cls_convs, self.reg_convs = (nn.ModuleList([Conv(256, 256, 3, kind) for _ in range(4)]) for _ in range(2))
        for name, outputs in (('cls', 3), ('reg', 12), ('iou', 3)):
            setattr(self, f'retina_{name}', nn.Conv2d(256, outputs, 3, padding=1))

    def forward(self, levels):
        """For every level the class logits, the box deltas and the IoU logits."""
        outs = []
        for cls in levels:
            reg = cls
            for cls_conv, reg_conv in zip(self.cls_convs, self.reg_convs):
                cls, reg = cls_conv(cls).relu(), reg_conv(reg).relu()
            outs.append((self.retina_cls(cls), self.retina_reg(reg), self.retina_iou(reg)))
        return outs


class VedadetTinaFace(nn.Module):
    """(N, 3, H, W), RGB less the mean -> six levels of (N, 3, h, w), (N, 12, h, w), (N, 3, h, w)."""

    def __init__(self, variant):
        super().__init__()
        kind, deformable = {'bn': ('bn', False), 'gn-dcn': ('gn', True)}[variant]
        self.backbone = Backbone(kind, deformable)
        self.neck = nn.ModuleList([Pyramid(kind), Inception(kind)])
        self.bbox_head = Head(kind)

    def forward(self, x):
        x = self.backbone(x)
        for neck in self.neck:
            x = neck(x)
        return self.bbox_head(x)


def norms(kind):
    return nn.BatchNorm2d if kind == 'bn' else partial(nn.GroupNorm, 32)
