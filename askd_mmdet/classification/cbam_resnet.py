"""MMPretrain's ResNets with CBAM, whose weights keep the names they have without it (sec. 4.1, 6.1)."""

from mmpretrain.models.backbones import ResNet, ResNet_CIFAR
from mmpretrain.models.backbones.resnet import BasicBlock, Bottleneck
from mmpretrain.registry import MODELS

from askd_mmdet.training.settings import check_choice, check_type


def _attended(number: int) -> property:
    """The block's norm of that number, followed by the CBAM of that number where there is one.

    Being no module, it is also passed over by ResNet's `zero_init_residual`, which would show zeros to the attention.
    """

    def norm(block):
        plain = getattr(block, getattr(block, f'norm{number}_name'))
        cbam = getattr(block, f'cbam{number}', None)
        return plain if cbam is None else lambda x: cbam(plain(x))

    return property(norm)


class CBAMBasicBlock(BasicBlock):
    """A block of two 3x3 convolutions; `at` says after which of them CBAM stands."""

    at = dict(conv=(1, 2), block=(2,))
    norm1, norm2 = _attended(1), _attended(2)


class CBAMBottleneck(Bottleneck):
    """A block of a 1x1, a 3x3 and a 1x1 convolution; `at` says after which of them CBAM stands."""

    at = dict(conv=(2,), block=(3,))
    norm2, norm3 = _attended(2), _attended(3)


_BLOCKS = {BasicBlock: CBAMBasicBlock, Bottleneck: CBAMBottleneck}


class _WithCBAM:
    """What turns one of MMPretrain's ResNets into one with CBAM."""

    arch_settings = {depth: (_BLOCKS[block], counts) for depth, (block, counts) in ResNet.arch_settings.items()}

    def __init__(
        self,
        depth: int,
        attention: str = 'conv',
        cbam: dict = dict(type='CBAM', reduction=16, kernel_size=7),
        **kwargs,
    ):
        check_choice(type(self).__name__, 'attention', attention, ('conv', 'block'))
        check_type(type(self).__name__, 'cbam', cbam, dict)
        super().__init__(depth, **kwargs)
        for block in self.modules():
            for number in getattr(block, 'at', {}).get(attention, ()):
                channels = getattr(block, f'conv{number}').out_channels
                block.add_module(f'cbam{number}', MODELS.build(dict(cbam, in_channels=channels)))


@MODELS.register_module()
class CBAMResNet(_WithCBAM, ResNet):
    """ResNet of depth 18, 34, 50, 101 or 152 with CBAM in every residual block.

    Args:
        depth: Convolutions and the last linear layer, counted.
        attention: 'conv' puts CBAM after the norm of every 3x3 convolution but the stem's, as the paper's text says;
            'block' after the last norm of every block, as its authors' recognition code and CBAM's authors do.
        cbam: Config of the attention module.
        **kwargs: See mmpretrain's ResNet. `zero_init_residual` leaves out norms that CBAM follows.

    Shape:
        (N, 3, H, W) -> features of the last stage (N, C, ceil(H / 32), ceil(W / 32)), in a tuple.

    Raises:
        ValueError: For another `attention`.

    Example:
        >>> import torch
        >>> network = CBAMResNet(18, stem_channels=4, base_channels=4)
        >>> network(torch.zeros(1, 3, 64, 64))[0].shape
        torch.Size([1, 32, 2, 2])
    """


@MODELS.register_module()
class CBAMResNetCifar(_WithCBAM, ResNet_CIFAR):
    """The same with a 3x3 stem without stride, for pictures of 32x32: they leave the last stage at 4x4."""
