"""CBAM inside the residual blocks of any OpenMMLab ResNet, whose weights keep the names they have without it."""

from mmengine.registry import MODELS

from askd_mmdet.training.settings import check_choice, check_type


def attended(number: int) -> property:
    """The block's norm of that number, followed by the CBAM of that number where there is one.

    Being no module, it is also passed over by ResNet's `zero_init_residual`, which would show zeros to the attention.
    """

    def norm(block):
        plain = getattr(block, getattr(block, f'norm{number}_name'))
        cbam = getattr(block, f'cbam{number}', None)
        return plain if cbam is None else lambda x: cbam(plain(x))

    return property(norm)


class BasicBlockWithCBAM:
    """What a block of two 3x3 convolutions inherits first; `at` says after which of them CBAM stands."""

    at = dict(conv=(1, 2), block=(2,))
    norm1, norm2 = attended(1), attended(2)


class BottleneckWithCBAM:
    """What a block of a 1x1, a 3x3 and a 1x1 convolution inherits first; `at` as above."""

    at = dict(conv=(2,), block=(3,))
    norm2, norm3 = attended(2), attended(3)


class ResNetWithCBAM:
    """What a ResNet inherits first whose `arch_settings` name blocks that take CBAM.

    Args:
        depth: Convolutions and the last linear layer, counted.
        attention: 'conv' puts CBAM after the norm of every 3x3 convolution but the stem's, as the paper's text says;
            'block' after the last norm of every block, as its authors' recognition code and CBAM's authors do.
        cbam: Config of the attention module.
        **kwargs: See the library's ResNet.

    Raises:
        ValueError: For another `attention`, or a `cbam` that is no config.
    """

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
        self._freeze_stages()  # once more, with what they have now
