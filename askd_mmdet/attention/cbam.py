"""CBAM (Woo et al., ECCV 2018) as the paper uses it: eq. 3-6 of A-SKD.

Both attention modules return their *raw* map, the logits before the sigmoid of eq. 5 and 6. CBAM applies the sigmoid
when it weights the features. So a forward hook on `*.channel_attention` or `*.spatial_attention` sees the map the
authors' code distils, and its sigmoid is the map the paper writes.
"""

import torch
from mmengine.model import BaseModule
from mmengine.registry import MODELS
from torch import Tensor, nn

from askd_mmdet.training.settings import check_number, check_type


@MODELS.register_module()
class ChannelAttention(BaseModule):
    """Raw channel attention map: FC(AvgPool(f)) + FC(MaxPool(f)), eq. 5 without its sigmoid.

    Args:
        in_channels: Channels C of the features; any number >= 1.
        reduction: The shared two-layer FC has max(C // reduction, 1) hidden units.
        bias: Whether the two layers have a bias (the authors' code: no).

    Shape:
        (N, C, H, W) -> (N, C, 1, 1), logits.

    Raises:
        ValueError: When a setting is of another type or out of range.

    Example:
        >>> import torch
        >>> ChannelAttention(6, reduction=4)(torch.zeros(2, 6, 5, 5)).shape
        torch.Size([2, 6, 1, 1])
    """

    def __init__(self, in_channels, reduction=16, bias=False, init_cfg=None):
        super().__init__(init_cfg)
        for name, value in dict(in_channels=in_channels, reduction=reduction).items():
            check_number('ChannelAttention', name, value, whole=True, at_least=1)
        check_type('ChannelAttention', 'bias', bias, bool)
        hidden = max(in_channels // reduction, 1)
        self.mlp = nn.Sequential(
            nn.Conv2d(in_channels, hidden, 1, bias=bias),
            nn.ReLU(inplace=True),
            nn.Conv2d(hidden, in_channels, 1, bias=bias),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.mlp(x.mean((2, 3), keepdim=True)) + self.mlp(x.amax((2, 3), keepdim=True))


@MODELS.register_module()
class SpatialAttention(BaseModule):
    """Raw spatial attention map: a convolution over the channels' mean and maximum, eq. 6 without its sigmoid.

    Args:
        kernel_size: Odd side of the filter: 7 in the paper, 3 in the authors' code.
        bias: Whether the convolution has a bias (the authors' code: no).

    Shape:
        (N, C, H, W) -> (N, 1, H, W), logits.

    Raises:
        ValueError: When `kernel_size` is even, since the map would not keep the size of the features, or a setting is
            of another type or out of range.
    """

    def __init__(self, kernel_size=7, bias=False, init_cfg=None):
        super().__init__(init_cfg)
        check_number('SpatialAttention', 'kernel_size', kernel_size, whole=True, at_least=1)
        check_type('SpatialAttention', 'bias', bias, bool)
        if kernel_size % 2 == 0:
            raise ValueError(f'SpatialAttention needs an odd kernel_size, got {kernel_size}')
        self.conv = nn.Conv2d(2, 1, kernel_size, padding=kernel_size // 2, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1))


@MODELS.register_module()
class CBAM(BaseModule):
    """Weights features by their channel map (eq. 3), then by their spatial map (eq. 4).

    It is an mmcv plugin layer: MMDetection's stock ResNet puts it after every 3x3 convolution with
    ``plugins=[dict(cfg=dict(type='CBAM'), position='after_conv2')]``. With ``position='after_conv3'`` (the authors'
    placement) the ResNet also needs ``zero_init_residual=False``; otherwise the attention sees zeros at the first step.

    Args:
        in_channels: Channels C of the features.
        reduction: See :class:`ChannelAttention`.
        kernel_size: See :class:`SpatialAttention`.
        bias: Bias in both attention modules.

    Shape:
        (N, C, H, W) -> (N, C, H, W).
    """

    _abbr_ = 'cbam'

    def __init__(self, in_channels, reduction=16, kernel_size=7, bias=False, init_cfg=None):
        super().__init__(init_cfg)
        self.channel_attention = ChannelAttention(in_channels, reduction, bias)
        self.spatial_attention = SpatialAttention(kernel_size, bias)

    def forward(self, x: Tensor) -> Tensor:
        x = self.channel_attention(x).sigmoid() * x
        return self.spatial_attention(x).sigmoid() * x
