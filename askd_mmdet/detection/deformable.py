"""Deformable convolution (Dai et al., 2017) that takes every layout in memory, and autocast."""

from mmcv.ops import DeformConv2dPack
from mmdet.registry import MODELS
from torch import Tensor
from torchvision.ops import deform_conv2d


@MODELS.register_module()
class TorchvisionDCN(DeformConv2dPack):
    """mmcv's layer `DCN` by torchvision's operator: equal, but not bound to one layout in memory.

    Neither operator has bfloat16, so the sampling is in float32 under autocast too. Groups are read off the shapes.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Features (N, C, H, W) to float32 ones (N, C', H', W')."""
        offset = self.conv_offset(x).float()
        return deform_conv2d(x.float(), offset, self.weight, None, self.stride, self.padding, self.dilation)
