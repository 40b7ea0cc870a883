"""The authors' recognition network, as facts about it are known: its modules, their names and their order."""

import torch
from torch import nn
from torch.nn import functional as F

BLOCKS = {18: (2, 2, 2, 2), 50: (3, 4, 14, 3), 100: (3, 13, 30, 3)}


class ChannelLayer(nn.Module):
    def __init__(self, channels):
        super().__init__()
        layers = (nn.Conv2d(channels, channels // 16, 1, bias=False), nn.ReLU())
        self.shared_mlp = nn.Sequential(*layers, nn.Conv2d(channels // 16, channels, 1, bias=False))

    def forward(self, x):
        pooled = F.adaptive_avg_pool2d(x, 1), F.adaptive_max_pool2d(x, 1)
        return x * F.sigmoid(sum(map(self.shared_mlp, pooled)))


class SpatialLayer(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 1, 3, padding=1, bias=False)

    def forward(self, x):
        pooled = torch.stack([x.mean(1), x.max(1).values], 1)
        return x * F.sigmoid(self.conv(pooled))


class Block(nn.Module):
    def __init__(self, inside, outside, stride, shortcut):
        super().__init__()
        first = nn.BatchNorm2d(inside), nn.Conv2d(inside, outside, 3, 1, 1, bias=False), nn.BatchNorm2d(outside)
        second = nn.PReLU(outside), nn.Conv2d(outside, outside, 3, stride, 1, bias=False), nn.BatchNorm2d(outside)
        self.res_layer = nn.Sequential(*first, *second)
        self.channel_layer = ChannelLayer(outside)
        self.spatial_layer = SpatialLayer()
        if shortcut:
            convolution = nn.Conv2d(inside, outside, 1, stride, bias=False)
            self.shortcut_layer = nn.Sequential(convolution, nn.BatchNorm2d(outside))

    def forward(self, x):
        out = self.spatial_layer(self.channel_layer(self.res_layer(x)))
        return out + (self.shortcut_layer(x) if hasattr(self, 'shortcut_layer') else x)


class AuthorsNetwork(nn.Module):
    """(N, 3, 112, 112), BGR, (x / 255 - 0.5) / 0.5 -> (N, 512)."""

    def __init__(self, depth):
        super().__init__()
        self.input_layer = nn.Sequential(nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.PReLU(64))
        inside = 64
        for stage, (blocks, outside) in enumerate(zip(BLOCKS[depth], (64, 128, 256, 512)), 1):
            layer = [Block(inside, outside, 2, True)] + [Block(outside, outside, 1, False) for _ in range(blocks - 1)]
            setattr(self, f'layer{stage}', nn.Sequential(*layer))
            inside = outside
        head = nn.Linear(512 * 7 * 7, 512), nn.BatchNorm1d(512)
        self.output_layer = nn.Sequential(nn.BatchNorm2d(512), nn.Dropout(0.4), nn.Flatten(), *head)

    def forward(self, x):
        for module in (self.input_layer, self.layer1, self.layer2, self.layer3, self.layer4, self.output_layer):
            x = module(x)
        return x
