"""ArcFace (eq. 2) that survives rounding and half precision."""

from math import pi

import torch
from mmpretrain.models.heads.margin_head import ArcFaceClsHead, NormProduct
from mmpretrain.registry import MODELS
from torch import Tensor, nn

from askd_mmdet.training.settings import check_number

# acos has an infinite slope at 1, and rounding can put a cosine beyond it: stay away by a float32 step or two.
_GREATEST_COSINE = 1 - 1e-7


class BoundedCosine(NormProduct):
    """Cosine between embeddings (N, C) of any floating type and class weights: float32, strictly within (-1, 1).

    The class weights start as in the authors' code: Xavier uniform over [classes, C].
    """

    def reset_parameters(self) -> None:
        """Draw the class weights anew."""
        nn.init.xavier_uniform_(self.weight)

    def forward(self, embeddings: Tensor) -> Tensor:
        return super().forward(embeddings.float()).clamp(-_GREATEST_COSINE, _GREATEST_COSINE)


@MODELS.register_module()
class ArcFaceHead(ArcFaceClsHead):
    """mmpretrain's ArcFaceClsHead with the cosine clamped, computed in float32, and labels checked on the CPU.

    The submodule `norm_product` puts out the cosine of every class without the margin; times `scale` it is the logit
    that logit distillation compares.

    Args:
        num_classes: Identities n of eq. 2.
        in_channels: Numbers d in an embedding.
        scale: s of eq. 2; the authors' code has 32.
        margins: m of eq. 2, an angle in [0, pi].
        **kwargs: See ArcFaceClsHead.

    Raises:
        ValueError: When a setting is of another type or out of range; for a label that is no class (when a loss is
            computed on the CPU).
    """

    loss_name = 'loss_arcface'

    def __init__(self, num_classes: int, in_channels: int, scale: float = 32.0, margins: float = 0.5, **kwargs):
        counts = dict(num_classes=num_classes, in_channels=in_channels, num_subcenters=kwargs.get('num_subcenters', 1))
        for name, value in counts.items():
            check_number(type(self).__name__, name, value, whole=True, at_least=1)
        check_number(type(self).__name__, 'scale', scale, above=0)
        check_number(type(self).__name__, 'margins', margins, at_least=0, at_most=pi)
        super().__init__(num_classes, in_channels, scale=scale, margins=float(margins), **kwargs)
        self.norm_product = BoundedCosine(in_channels, num_classes, self.num_subcenters)

    def loss(self, feats: tuple[Tensor], data_samples: list, **kwargs) -> dict[str, Tensor]:
        labels = torch.cat([sample.gt_label for sample in data_samples])
        # On a GPU a look at the labels would wait for them in every step; ClassesHook has looked at the data.
        bad = labels[(labels < 0) | (labels >= self.num_classes)] if labels.is_cpu else ()
        if len(bad):
            raise ValueError(
                f'{type(self).__name__}: found the label {bad[0].item()}, expected 0 to {self.num_classes - 1}: set '
                'model.head.num_classes to the number of identities in the training data'
            )
        # Under mmpretrain's name, 'loss', it would hide the total of all losses from the log.
        return {self.loss_name: super().loss(feats, data_samples, **kwargs)['loss']}
