"""A ResNet whose residual branches and offsets start at zero where a file of pretrained weights has none of them."""

from mmdet.models import ResNet
from mmdet.models.backbones.resnet import Bottleneck
from mmdet.registry import MODELS
from mmengine.model import constant_init


class ZeroOffsetBottleneck(Bottleneck):
    """A block whose deformable convolution samples at first where an ordinary one does."""

    def init_weights(self) -> None:
        # After ResNet's Kaiming values, which reach the offsets too, and before a pretrained file.
        super().init_weights()
        if hasattr(self.conv2, 'conv_offset'):
            constant_init(self.conv2.conv_offset, 0)


@MODELS.register_module()
class ZeroInitResNet(ResNet):
    """MMDetection's ResNet-50, 101 or 152 for pretrained files that lack some of its layers, as in TinaFace.

    Its parent leaves such layers as torch builds them: given torchvision's file, group norms at the end of a block
    start at 1. Here they start at 0 (unless `zero_init_residual=False`, which CBAM after them needs), and so do the
    offsets of deformable convolutions. What the file has is loaded over it.
    """

    arch_settings = {
        depth: (ZeroOffsetBottleneck, blocks)
        for depth, (block, blocks) in ResNet.arch_settings.items()
        if block is Bottleneck
    }

    def make_res_layer(self, **kwargs):
        if self.zero_init_residual:
            kwargs['init_cfg'] = dict(type='Constant', val=0, override=dict(name='norm3'))
        return super().make_res_layer(**kwargs)
