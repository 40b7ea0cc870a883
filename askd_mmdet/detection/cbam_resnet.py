"""MMDetection's ResNet with CBAM also in ResNet-18 and 34, whose blocks take no plugin."""

from mmdet.models.backbones.resnet import BasicBlock, Bottleneck, ResNet
from mmdet.registry import MODELS

from askd_mmdet.attention.residual import BasicBlockWithCBAM, BottleneckWithCBAM, ResNetWithCBAM


class CBAMBasicBlock(BasicBlockWithCBAM, BasicBlock):
    """The block of ResNet-18 and 34."""


class CBAMBottleneck(BottleneckWithCBAM, Bottleneck):
    """The block of deeper ResNets."""


_BLOCKS = {BasicBlock: CBAMBasicBlock, Bottleneck: CBAMBottleneck}


@MODELS.register_module()
class CBAMResNet(ResNetWithCBAM, ResNet):
    """ResNet of depth 18, 34, 50, 101 or 152 with CBAM in every residual block, see :class:`ResNetWithCBAM`.

    torchvision's weights fit under their names, and leave CBAM as it was drawn; `frozen_stages=0` lets all of it learn.
    mmdet's `zero_init_residual` has no effect.

    Shape:
        (N, 3, H, W) -> features of four stages, (N, C, ceil(H / 4), ceil(W / 4)) to (N, 8 C, ceil(H / 32), ...).

    Example:
        >>> import torch
        >>> network = CBAMResNet(18, stem_channels=4, base_channels=4)
        >>> [tuple(stage.shape) for stage in network(torch.zeros(1, 3, 64, 64))]
        [(1, 4, 16, 16), (1, 8, 8, 8), (1, 16, 4, 4), (1, 32, 2, 2)]
    """

    arch_settings = {depth: (_BLOCKS[block], counts) for depth, (block, counts) in ResNet.arch_settings.items()}
