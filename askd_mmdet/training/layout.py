"""Channels last: the layout in memory for which convolutions are fastest on many processors."""

import torch
from mmengine.device import get_device
from torch import nn


def channels_last(model: nn.Module) -> nn.Module:
    """The network with its weights laid out channels last, in place; what its convolutions put out follows.

    Raises:
        ValueError: On the CPU, where a strided 1x1 convolution has less than 16 input channels: with this layout its
            backward pass writes beyond its memory (oneDNN's issue 6035), which nobody would notice before the process
            crashes, or does not.
    """
    if get_device() == 'cpu':
        for name, module in model.named_modules():
            strided = isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1) and max(module.stride) > 1
            if strided and module.in_channels < 16:
                raise ValueError(
                    f'channels_last: {name} is a strided 1x1 convolution of {module.in_channels} channels, less than '
                    '16, which oneDNN cannot train in this layout on the CPU; leave the setting out'
                )
    return model.to(memory_format=torch.channels_last)
