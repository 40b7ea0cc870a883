"""Checkpoints of the authors' code (teaching-where-to-look), to ours and back.

They hold `iters` and `net_state_dict`: `*_net.ckpt` the backbone, `*_margin.ckpt` the ArcFace head's weights. Their
network and :class:`IRResNet` have the same modules under the same names, apart from the attention's.
"""

import torch
from torch import Tensor

from askd_mmdet.recognition.ir_resnet import DEPTHS, IRResNet
from askd_mmdet.training.checkpoint import check_weights, weights_of

_ATTENTION = {
    '.res_layer.6.channel_attention.mlp.': '.channel_layer.shared_mlp.',
    '.res_layer.6.spatial_attention.': '.spatial_layer.',
}
_HEAD = 'head.norm_product.weight'


def from_authors(net: dict, margin: dict | None = None, source: str = 'the checkpoint') -> dict[str, Tensor]:
    """Weights of a :class:`FaceRecognizer` from what is in the authors' files.

    Args:
        net: Content of `*_net.ckpt`.
        margin: Content of `*_margin.ckpt`; without it the recognizer has no head (`head=None`).
        source: Where they come from, for messages.

    Raises:
        ValueError: When they are no such checkpoints, or do not fit the network.
    """
    weights = {}
    for name, value in _content(net, source).items():
        for ours, theirs in _ATTENTION.items():
            name = name.replace(theirs, ours)
        weights[f'backbone.{name}'] = value
    _check(weights, source)
    if margin:
        head = _content(margin, source)
        if set(head) != {'weight'} or head['weight'].shape[1:] != (512,):
            shapes = {name: tuple(value.shape) for name, value in head.items()}
            raise ValueError(f'{source}: found {shapes} in the margin, expected one weight (classes, 512)')
        weights[_HEAD] = head['weight']
    return weights


def to_authors(checkpoint: dict, source: str = 'the checkpoint') -> tuple[dict, dict | None]:
    """The contents of `*_net.ckpt` and `*_margin.ckpt` from a checkpoint of a :class:`FaceRecognizer`.

    Args:
        checkpoint: As :func:`askd_mmdet.training.read_checkpoint` returns it.
        source: Where it comes from, for messages.

    Returns:
        Both contents; None for the margin where the recognizer has no head.

    Raises:
        ValueError: When the authors' network cannot hold these weights, as those of `attention='conv'`.
    """
    weights = weights_of(checkpoint, source)
    iters = checkpoint.get('meta', {}).get('iter', 0)
    _check({name: value for name, value in weights.items() if name != _HEAD}, source)
    net = {}
    for name, value in weights.items():
        for ours, theirs in _ATTENTION.items():
            name = name.replace(ours, theirs)
        net[name.removeprefix('backbone.')] = value
    head = net.pop(_HEAD, None)
    margin = None if head is None else dict(iters=iters, net_state_dict=dict(weight=head))
    return dict(iters=iters, net_state_dict=net), margin


def _content(checkpoint, source):
    if 'net_state_dict' not in checkpoint:
        raise ValueError(
            f"{source}: found {sorted(map(str, checkpoint))[:5]}, expected 'net_state_dict' as in the authors' files"
        )
    weights = checkpoint['net_state_dict']
    if not isinstance(weights, dict) or not all(isinstance(value, Tensor) for value in weights.values()):
        raise ValueError(f"{source}: 'net_state_dict' holds no weights; take a *_net.ckpt or *_margin.ckpt")
    return weights_of(dict(state_dict=weights), source)


def _check(weights, source):
    """Make sure that weights are those of the authors' network of some depth."""
    blocks = {tuple(name.split('.')[1:3]) for name in weights}
    stages = tuple(sum(block[:1] == (f'layer{i}',) for block in blocks) for i in range(1, 5))
    depths = [depth for depth in DEPTHS if DEPTHS[depth] == stages]
    if not depths:
        raise ValueError(f'{source}: found {stages} blocks in the four stages, expected those of a depth in {DEPTHS}')
    with torch.device('meta'):
        network = torch.nn.ModuleDict(dict(backbone=IRResNet(*depths)))
    check_weights(network, weights, source)
