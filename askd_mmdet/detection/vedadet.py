"""Checkpoints of vedadet, the home of TinaFace, to ours and back.

They are bare state dicts. Its network and ours without CBAM have the same modules under the same names, apart from the
five convolutions of the context block.

CBAM can be added such that the network computes what it did: with zeros for the weights behind the channel map and the
spatial map both maps are 0, so both sigmoids 1/2, which four times the weights of the next convolution, conv3, make up
for. Powers of two round nothing. It is a start for a network that trains by itself, as a teacher does: to a student
that distils raw maps, a map of zeros has no direction and its cosine a gradient of 1e8.
"""

import torch
from torch import Tensor, nn

from askd_mmdet.attention import CBAM
from askd_mmdet.training.checkpoint import check_weights, weights_of

_CONTEXT = {
    f'neck.1.level_convs.0.{i}.': f'neck.1.{ours}.'
    for i, ours in enumerate(('one', 'shared', 'two', 'three.0', 'three.1'))
}


def variant_of(checkpoint: dict, source: str = 'the checkpoint') -> str:
    """Which TinaFace a checkpoint of theirs or ours holds: 'bn' or 'gn-dcn', with '-cbam' behind it where it has CBAM.

    Raises:
        ValueError: When it is neither.
    """
    weights = _weights(checkpoint, source)
    for norm, variant in (('bn1', 'bn'), ('gn1', 'gn-dcn')):
        if f'backbone.{norm}.weight' in weights:
            return variant + ('-cbam' if any('.cbam.' in name for name in weights) else '')
    raise ValueError(
        f'{source}: found {sorted(weights)[:3]}, expected the weights of a TinaFace, with backbone.bn1.* or '
        'backbone.gn1.* among them'
    )


def from_vedadet(checkpoint: dict, network: nn.Module, source: str = 'the checkpoint') -> dict[str, Tensor]:
    """Weights for our TinaFace from a checkpoint of vedadet.

    Args:
        checkpoint: As :func:`askd_mmdet.training.read_checkpoint` returns it.
        network: Our TinaFace of the same variant. Where it has CBAM (after conv2), the attention starts as the
            module's docstring says, and its first layer, which decides nothing yet, stays as it is in the network.
        source: Where the checkpoint comes from, for messages.

    Raises:
        ValueError: When it is no such checkpoint, or does not fit the network.
    """
    weights = _weights(checkpoint, source)
    foreign = [
        name
        for name in weights
        if '.cbam.' in name or (name.startswith('neck.1.') and not name.startswith(tuple(_CONTEXT)))
    ]
    if foreign:
        raise ValueError(
            f'{source}: found {foreign[:3]}, expected the names of vedadet, whose context block has '
            'neck.1.level_convs.0.{0,1,2,3,4}.*; a checkpoint of ours needs no conversion, or one back'
        )
    weights = _renamed(weights, _CONTEXT)
    own = network.state_dict()
    for cbam, _ in _attentions(network):
        for name in _below(cbam, own):
            weights[name] = own[name] if '.mlp.0.' in name else torch.zeros_like(own[name])
    check_weights(network, weights, source)
    for _, conv in _attentions(network):
        weights[conv] = weights[conv] * 4
    return weights


def to_vedadet(checkpoint: dict, network: nn.Module, source: str = 'the checkpoint') -> dict[str, Tensor]:
    """The content of a checkpoint of vedadet from one of our TinaFace.

    Args:
        checkpoint: As :func:`askd_mmdet.training.read_checkpoint` returns it.
        network: The network it belongs to; its weights do not matter.
        source: Where the checkpoint comes from, for messages.

    Raises:
        ValueError: When it does not fit the network, or has CBAM whose maps are not 0, which vedadet's cannot hold.
    """
    weights = _weights(checkpoint, source)
    check_weights(network, weights, source)
    for cbam, conv in _attentions(network):
        names = _below(cbam, weights)
        if any(weights[name].any() for name in names if '.mlp.0.' not in name):
            raise ValueError(
                f'{source}: found attention at work in {cbam}, which the network of vedadet has not; only a checkpoint '
                'without CBAM, or one with CBAM as --with-cbam starts it, can be converted back'
            )
        for name in names:
            del weights[name]
        weights[conv] = weights[conv] / 4
    return _renamed(weights, {ours: theirs for theirs, ours in _CONTEXT.items()})


def _weights(checkpoint, source):
    weights = checkpoint.get('state_dict', checkpoint)
    if not isinstance(weights, dict) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in weights.items()
    ):
        raise ValueError(f'{source}: found something beside tensors, expected the weights of a network')
    return weights_of(checkpoint)


def _renamed(weights, prefixes):
    renamed = {}
    for name, value in weights.items():
        prefix = next(filter(name.startswith, prefixes), '')
        renamed[prefixes.get(prefix, '') + name.removeprefix(prefix)] = value
    return renamed


def _attentions(network):
    """The names of every CBAM and of the weights of the convolution that follows it."""
    names = (name for name, module in network.named_modules() if isinstance(module, CBAM))
    return [(name, f'{name.rpartition(".")[0]}.conv3.weight') for name in names]


def _below(module, weights):
    return [name for name in weights if name.startswith(f'{module}.')]
