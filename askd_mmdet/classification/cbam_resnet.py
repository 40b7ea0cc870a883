"""MMPretrain's ResNets with CBAM, whose weights keep the names they have without it (sec. 4.1, 6.1)."""

from mmpretrain.models.backbones import ResNet, ResNet_CIFAR
from mmpretrain.models.backbones.resnet import BasicBlock, Bottleneck
from mmpretrain.registry import MODELS

from askd_mmdet.attention.residual import BasicBlockWithCBAM, BottleneckWithCBAM, ResNetWithCBAM


class CBAMBasicBlock(BasicBlockWithCBAM, BasicBlock):
    """The block of ResNet-18 and 34."""


class CBAMBottleneck(BottleneckWithCBAM, Bottleneck):
    """The block of deeper ResNets."""


_BLOCKS = {BasicBlock: CBAMBasicBlock, Bottleneck: CBAMBottleneck}


@MODELS.register_module()
class CBAMResNet(ResNetWithCBAM, ResNet):
    """ResNet of depth 18, 34, 50, 101 or 152 with CBAM in every residual block, see :class:`ResNetWithCBAM`.

    mmpretrain's `zero_init_residual` leaves out norms that CBAM follows.

    Shape:
        (N, 3, H, W) -> features of the last stage (N, C, ceil(H / 32), ceil(W / 32)), in a tuple.

    Example:
        >>> import torch
        >>> network = CBAMResNet(18, stem_channels=4, base_channels=4)
        >>> network(torch.zeros(1, 3, 64, 64))[0].shape
        torch.Size([1, 32, 2, 2])
    """

    arch_settings = {depth: (_BLOCKS[block], counts) for depth, (block, counts) in ResNet.arch_settings.items()}


@MODELS.register_module()
class CBAMResNetCifar(ResNetWithCBAM, ResNet_CIFAR):
    """The same with a 3x3 stem without stride, for pictures of 32x32: they leave the last stage at 4x4."""

    arch_settings = CBAMResNet.arch_settings
