"""The face recognition network of A-SKD: an improved residual network (IR) with CBAM (sec. 3.2, 4.1)."""

from mmengine.model import BaseModule
from mmpretrain.registry import MODELS
from torch import Tensor, nn

from askd_mmdet.training.settings import check_choice, check_number, check_type

# Blocks of the four stages; 18 is ResNet-18's, the others are those of the authors' code.
DEPTHS = {18: (2, 2, 2, 2), 50: (3, 4, 14, 3), 100: (3, 13, 30, 3), 152: (3, 8, 36, 3)}


class IRBlock(BaseModule):
    """BN - conv3x3 - BN - PReLU - conv3x3 - BN - CBAM, plus a shortcut.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        stride: Of the second convolution, and of the shortcut.
        attention: See :class:`IRResNet`.
        cbam: See :class:`IRResNet`.

    Shape:
        (N, in_channels, H, W) -> (N, out_channels, ceil(H / stride), ceil(W / stride)).
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, attention: str, cbam: dict):
        super().__init__()

        def attend(wanted: bool) -> list[nn.Module]:
            return [MODELS.build(dict(cbam, in_channels=out_channels))] if wanted else []

        self.res_layer = nn.Sequential(
            nn.BatchNorm2d(in_channels),
            nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            *attend(attention == 'conv'),
            nn.PReLU(out_channels),
            nn.Conv2d(out_channels, out_channels, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            *attend(True),
        )
        if stride == 1 and in_channels == out_channels:
            self.shortcut_layer = nn.Identity()
        else:
            self.shortcut_layer = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        return self.shortcut_layer(x) + self.res_layer(x)


@MODELS.register_module()
class IRResNet(BaseModule):
    """IR-ResNet with CBAM, which turns an aligned face into an embedding.

    As the authors' code has it: a 3x3 stem without stride, four stages that halve the side, and an output layer
    BN - dropout - linear - BN. Its modules bear the names of their code.

    Args:
        depth: 18, 50, 100 or 152.
        attention: 'block' puts CBAM at the end of every residual block, as the authors' code does; 'conv' after the
            norm of every 3x3 convolution but the stem's, as the paper's text says.
        cbam: Config of the attention module; the spatial filter is 3x3 in the authors' code, 7x7 in the paper.
        base_channels: Channels of the stem and the first stage; every further stage has twice as many.
        input_size: Side of the square input in pixels, a multiple of 16.
        embedding_dims: Numbers in an embedding.
        dropout: Probability in the output layer.

    Shape:
        (N, 3, input_size, input_size) -> one embedding (N, embedding_dims), in a tuple.

    Raises:
        ValueError: When a setting is of another type or out of range; when called, for an image
            of another size.

    Example:
        >>> import torch
        >>> network = IRResNet(18, base_channels=4, input_size=32, embedding_dims=8)
        >>> network(torch.zeros(2, 3, 32, 32))[0].shape
        torch.Size([2, 8])
    """

    def __init__(
        self,
        depth: int,
        attention: str = 'block',
        cbam: dict = dict(type='CBAM', reduction=16, kernel_size=3),
        base_channels: int = 64,
        input_size: int = 112,
        embedding_dims: int = 512,
        dropout: float = 0.4,
        init_cfg: dict | None = dict(type='Xavier', layer=['Conv2d', 'Linear'], distribution='uniform'),
    ):
        super().__init__(init_cfg)
        check_choice('IRResNet', 'depth', depth, DEPTHS)
        check_choice('IRResNet', 'attention', attention, ('block', 'conv'))
        check_type('IRResNet', 'cbam', cbam, dict)
        for name, value in dict(base_channels=base_channels, embedding_dims=embedding_dims).items():
            check_number('IRResNet', name, value, whole=True, at_least=1)
        check_number('IRResNet', 'dropout', dropout, at_least=0, at_most=1)
        check_number('IRResNet', 'input_size', input_size, whole=True, at_least=16)
        if input_size % 16:
            raise ValueError(f'IRResNet: found input_size={input_size}, expected a multiple of 16')
        self.input_size = input_size
        self.input_layer = nn.Sequential(
            nn.Conv2d(3, base_channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(base_channels),
            nn.PReLU(base_channels),
        )
        in_channels = base_channels
        for stage, blocks in enumerate(DEPTHS[depth]):
            out_channels = base_channels * 2**stage
            layer = nn.Sequential()
            for block in range(blocks):
                layer.append(IRBlock(in_channels, out_channels, 1 if block else 2, attention, cbam))
                in_channels = out_channels
            self.add_module(f'layer{stage + 1}', layer)
        self.output_layer = nn.Sequential(
            nn.BatchNorm2d(in_channels),
            nn.Dropout(dropout),
            nn.Flatten(),
            nn.Linear(in_channels * (input_size // 16) ** 2, embedding_dims),
            nn.BatchNorm1d(embedding_dims),
        )

    def forward(self, x: Tensor) -> tuple[Tensor]:
        if x.shape[-2:] != (self.input_size, self.input_size):
            raise ValueError(
                f'IRResNet: found images of {x.shape[-2]}x{x.shape[-1]} pixels, expected {self.input_size}x'
                f'{self.input_size}: put ResizeToHR(size={self.input_size}) into the pipeline'
            )
        x = self.input_layer(x)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return (self.output_layer(x),)
