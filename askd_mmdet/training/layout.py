"""Channels last: the layout in memory for which convolutions are fastest on many processors."""

import torch
from mmengine.device import get_device
from torch import nn


def channels_last(model: nn.Module) -> nn.Module:
    """The network with its weights laid out channels last, in place; what its convolutions put out follows.

    Raises:
        ValueError: See :func:`check_channels_last`.
    """
    check_channels_last(model)
    return model.to(memory_format=torch.channels_last)


def check_channels_last(model: nn.Module) -> None:
    """Raise ValueError where training in this layout would break the memory of the process.

    On the CPU the backward pass of a strided 1x1 convolution of less than 16 input channels writes beyond its memory
    (oneDNN's issue 6035), which shows in a crash, later, or not at all.
    """
    if get_device() != 'cpu':
        return
    for name, module in model.named_modules():
        strided = isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1) and max(module.stride) > 1
        if strided and module.in_channels < 16:
            raise ValueError(
                f'{name} is a strided 1x1 convolution of {module.in_channels} channels, less than 16, which oneDNN '
                'cannot train channels last on the CPU; do without channels_last or CompileHook'
            )
