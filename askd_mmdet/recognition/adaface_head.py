"""AdaFace: a margin that asks less of pictures of low quality (Kim, Jain and Liu, CVPR 2022)."""

from math import pi

import torch
from mmpretrain.registry import MODELS
from torch import Tensor

from askd_mmdet.recognition.arcface_head import ArcFaceHead
from askd_mmdet.training.settings import check_number

# Of the moving statistics in a step; the paper's momentum is 0.99.
_NEWEST = 0.01
_SMALLEST_ANGLE = 1e-3


@MODELS.register_module()
class AdaFaceHead(ArcFaceHead):
    """Angular and additive margins by the length of the embedding, which stands for the quality of the picture.

    With z^ = clip((|z| - mean) / (std / h), -1, 1) the logit of the picture's own class is
    s (cos(theta - m z^) - (m z^ + m)): a picture of high quality (z^ = 1) is pulled by the whole additive margin, one
    of low quality (z^ = -1) has ArcFace's angular one alone, and easy pictures weigh more among the poor ones. No
    gradient goes through the length.

    Mean and standard deviation of the lengths move slowly; they are part of the checkpoint.

    Args:
        num_classes: Identities.
        in_channels: Numbers in an embedding.
        scale: s; 64 in the paper.
        margins: m, an angle in [0, pi]; 0.4 in the paper.
        concentration: h, how fast the margin moves with the length; 0.333 in the paper, where lengths of three standard
            deviations from the mean are at -1 and 1.
        **kwargs: See :class:`ArcFaceHead`.

    Raises:
        ValueError: See :class:`ArcFaceHead`; for `easy_margin`, which would be another margin.
    """

    loss_name = 'loss_adaface'

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        scale: float = 64.0,
        margins: float = 0.4,
        concentration: float = 0.333,
        **kwargs,
    ):
        check_number('AdaFaceHead', 'concentration', concentration, above=0)
        if kwargs.get('easy_margin'):
            raise ValueError("AdaFaceHead: found easy_margin=True, which is ArcFace's; remove it")
        super().__init__(num_classes, in_channels, scale=scale, margins=margins, **kwargs)
        self.margin = margins
        self.concentration = concentration
        # Where the moving statistics start in the authors' code.
        self.register_buffer('length_mean', torch.tensor(20.0))
        self.register_buffer('length_std', torch.tensor(100.0))

    def _get_logit_with_margin(self, pre_logits: Tensor, target: Tensor) -> Tensor:
        """Cosines (N, classes), with both margins at the target (N,)."""
        cosine = self.norm_product(pre_logits)
        with torch.no_grad():
            length = pre_logits.float().norm(dim=1).clamp(1e-3, 100)
            if self.training and len(length) > 1:
                self.length_mean.lerp_(length.mean(), _NEWEST)
                self.length_std.lerp_(length.std(), _NEWEST)
            quality = (length - self.length_mean) / (self.length_std + 1e-3) * self.concentration
            margin = self.margin * quality.clamp(-1, 1)[:, None]
        own = target[:, None]
        angle = (cosine.gather(1, own).acos() - margin).clamp(_SMALLEST_ANGLE, pi - _SMALLEST_ANGLE)
        return cosine.scatter(1, own, angle.cos() - (margin + self.margin))
