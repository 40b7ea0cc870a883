"""Checkpoints of the authors' code (teaching-where-to-look), to ours and back.

They hold `iters` and `net_state_dict`: `*_net.ckpt` the backbone, `*_margin.ckpt` the ArcFace head's weights. Their
network and :class:`IRResNet` have the same modules under the same names, apart from the attention's.

Their classes are numbered as the file system happened to list the folders of the unpacked pictures, which only the
`train.list` of the same training tells. Ours are in the order of the labels in `train.rec`, and that is the order of
the sorted folders, since their unpacker names a folder by its label with leading zeros, as ours does.
"""

from pathlib import Path

import torch
from torch import Tensor

from askd_mmdet.recognition.ir_resnet import DEPTHS, IRResNet
from askd_mmdet.training.checkpoint import check_weights, weights_of
from askd_mmdet.training.pictures import read_text

_ATTENTION = {
    '.res_layer.6.channel_attention.mlp.': '.channel_layer.shared_mlp.',
    '.res_layer.6.spatial_attention.': '.spatial_layer.',
}
_HEAD = 'head.norm_product.weight'


def read_train_list(path: str | Path) -> list[str]:
    """The identities in a `train.list` in the order of its labels.

    A line is the path of a picture and its label, divided by spaces or tabs; an identity is the folder of its pictures.

    Raises:
        FileNotFoundError: When there is no such file.
        ValueError: For a line of another kind, an identity with two labels, a label of two identities, or labels that
            are not 0 to C - 1.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f'{path} does not exist; it should be the train.list that the authors trained with')
    label_of, identity_of = {}, {}
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if not line.strip():
            continue
        picture, *rest = line.replace('\\', '/').rsplit(None, 1)
        folder = picture.split('/')[-2:-1]
        label = rest[0] if rest else ''
        is_label = label.isascii() and label.isdecimal() and len(label) < 10
        if not (is_label and folder and folder[0].strip(' .')):
            raise ValueError(
                f"{path}:{number}: found {line!r}, expected a picture in its identity's folder and a label, as in "
                "'image/000007/00000012.jpg  3'"
            )
        identity, label = folder[0], int(label)
        if (other := label_of.setdefault(identity, label)) != label:
            raise ValueError(f'{path}:{number}: found label {label} for {identity}, which had label {other} before')
        if (other := identity_of.setdefault(label, identity)) != identity:
            raise ValueError(f'{path}:{number}: found label {label} for {identity}, but it was that of {other} before')
    if not identity_of or max(identity_of) >= len(identity_of):
        raise ValueError(
            f'{path}: found {len(identity_of)} identities with labels up to {max(identity_of, default=None)}, expected '
            'labels from 0 on without a gap, a row of the margin for each'
        )
    return [identity_of[label] for label in range(len(identity_of))]


def from_authors(
    net: dict, margin: dict | None = None, identities: list[str] | None = None, source: str = 'the checkpoint'
) -> dict:
    """A checkpoint of a :class:`FaceRecognizer` (`state_dict`, and `meta` with `iter`) from the authors' files.

    Args:
        net: Content of `*_net.ckpt`.
        margin: Content of `*_margin.ckpt`; without it the recognizer has no head (`head=None`).
        identities: Theirs in the order of the margin's rows, see :func:`read_train_list`, which puts the rows in our
            order; without them the rows stay as they are.
        source: Where the files come from, for messages.

    Raises:
        ValueError: When they are no such checkpoints, or fit neither the network nor each other.
    """
    iters = _iters(net, source)
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
        if (other := _iters(margin, source)) != iters:
            raise ValueError(f'{source}: found iters {iters} in the net and {other} in the margin, expected one moment')
        weights[_HEAD] = head['weight'][_our_order(identities, len(head['weight']), source)]
    return dict(state_dict=weights, meta=dict(iter=iters))


def to_authors(
    checkpoint: dict, identities: list[str] | None = None, source: str = 'the checkpoint'
) -> tuple[dict, dict | None]:
    """The contents of `*_net.ckpt` and `*_margin.ckpt` from a checkpoint of a :class:`FaceRecognizer`.

    Args:
        checkpoint: As :func:`askd_mmdet.training.read_checkpoint` returns it.
        identities: In the order that the margin's rows shall have; without them the rows stay as they are.
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
    if head is not None:
        head = head[_our_order(identities, len(head), source).argsort()]
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


def _iters(checkpoint, source):
    """The iterations that a file of theirs was trained for; 0 where it does not say."""
    iters = checkpoint.get('iters', 0)
    if type(iters) is not int or iters < 0:
        raise ValueError(f"{source}: found {iters!r} under 'iters', expected the number of iterations")
    return iters


def _our_order(identities, rows, source):
    """For every row of our head the row of theirs, int (rows,)."""
    if identities is None:
        return torch.arange(rows)
    if len(identities) != rows:
        raise ValueError(f'{source}: found {len(identities)} identities for {rows} rows of the head, expected as many')
    if all(map(str.isdecimal, identities)) and sorted(identities) != sorted(identities, key=int):
        raise ValueError(
            f'{source}: the identities are numbers without leading zeros, whose order as sorted folders is not that in '
            'train.rec; write them with leading zeros in the train.list'
        )
    return torch.tensor(sorted(range(rows), key=identities.__getitem__))


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
