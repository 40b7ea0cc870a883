"""Automatic mixed precision: in bfloat16 on any device, in float16 on a GPU."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.device import get_device
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS
from torch import nn

from askd_mmdet.training.settings import check_choice

# MMEngine's own scales the loss, lest small gradients vanish in float16, and needs a GPU.
_WRAPPERS = {
    'bfloat16': dict(type='BFloat16OptimWrapper'),
    'float16': dict(type='AmpOptimWrapper', dtype='float16'),
}


def mixed(optim_wrapper: dict, amp: str | None) -> dict:
    """The config of an optimiser wrapper, such that the forward pass of a step computes in two bytes.

    Args:
        optim_wrapper: Of float32.
        amp: 'bfloat16', 'float16', or None to leave it as it is.

    Raises:
        ValueError: For another `amp`, or float16 without a GPU.

    Example:
        >>> mixed(dict(optimizer=dict(type='SGD', lr=0.1)), 'bfloat16')
        {'optimizer': {'type': 'SGD', 'lr': 0.1}, 'type': 'BFloat16OptimWrapper'}
    """
    if amp is None:
        return optim_wrapper
    check_choice('SafeRunner', 'amp', amp, _WRAPPERS)
    if amp == 'float16' and not torch.cuda.is_available():
        raise ValueError("amp='float16' needs a GPU, and torch sees none here; amp='bfloat16' works without one")
    # What MMEngine's wrapper takes and ours does not: the config may have had that one.
    own = () if amp == 'float16' else ('loss_scale', 'dtype', 'use_fsdp')
    return {name: value for name, value in optim_wrapper.items() if name not in own} | _WRAPPERS[amp]


@OPTIM_WRAPPERS.register_module()
class BFloat16OptimWrapper(OptimWrapper):
    """Steps whose forward pass computes in bfloat16 by autocast; parameters, gradients and optimiser stay in float32.

    The loss is not scaled, since bfloat16 has the range of float32.
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """MMEngine's context of a forward pass, under autocast."""
        with super().optim_context(model), torch.autocast(get_device(), torch.bfloat16):
            yield
