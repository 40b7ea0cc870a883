"""TinaFace's context block (Zhu et al., 2020), between the FPN and the head."""

import torch
from mmcv.cnn import ConvModule
from mmdet.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor

from askd_mmdet.training.settings import check_number, check_type


@MODELS.register_module()
class InceptionContext(BaseModule):
    """Widens the receptive field of every pyramid level with three branches of 1, 2 and 3 stacked 3x3 convolutions.

    The branches give C/2, C/4 and C/4 channels; the last two share their first convolution. ReLU stands inside the
    stacks and after the concatenation. One block serves all levels.

    Args:
        channels: Channels C of the levels, divisible by 4.
        norm_cfg: Norm after every convolution.
        init_cfg: Initial values, of all five convolutions.

    Shape:
        Tuple of (N, C, H_i, W_i) -> tuple of the same shapes.

    Raises:
        ValueError: When the channels are not divisible by 4.
    """

    def __init__(
        self,
        channels,
        norm_cfg=None,
        init_cfg=dict(type='Xavier', layer='Conv2d', distribution='uniform'),
    ):
        super().__init__(init_cfg)
        check_number('InceptionContext', 'channels', channels, whole=True, at_least=4)
        check_type('InceptionContext', 'norm_cfg', norm_cfg, dict, None)
        if channels % 4:
            raise ValueError(f'InceptionContext needs channels divisible by 4, got {channels}')

        def conv(inputs, outputs, act_cfg=None):
            module = ConvModule(inputs, outputs, 3, padding=1, norm_cfg=norm_cfg, act_cfg=act_cfg)
            module.is_init = True  # else MMEngine lets it draw its weights once more, after `init_cfg`
            return module

        relu = dict(type='ReLU')
        half, quarter = channels // 2, channels // 4
        self.one = conv(channels, half)
        self.shared = conv(channels, quarter, relu)
        self.two = conv(quarter, quarter)
        self.three = torch.nn.Sequential(conv(quarter, quarter, relu), conv(quarter, quarter))

    def forward(self, levels: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return tuple(map(self._context, levels))

    def _context(self, x: Tensor) -> Tensor:
        shared = self.shared(x)
        return torch.cat([self.one(x), self.two(shared), self.three(shared)], 1).relu()
