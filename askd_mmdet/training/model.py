"""The network that a config describes."""

import copy
import hashlib

from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from torch import nn

from askd_mmdet.training.settings import check_type


def build_model(cfg: Config) -> nn.Module:
    """Build a config's model, in its own scope where it names one, as the Runner does.

    MMPretrain's configs have `data_preprocessor` beside the model; without it a model would see pixels as they are.

    Raises:
        ValueError: When the config has no `model`.
    """
    check_type(cfg.filename or 'the config', 'model', cfg.get('model'), dict)
    model = copy.deepcopy(cfg.model)  # of which networks take parts out as they are built
    if 'data_preprocessor' in cfg:
        model.setdefault('data_preprocessor', cfg.data_preprocessor)
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope')):
        return MODELS.build(model)


def fingerprint(model: nn.Module) -> str:
    """16 hexadecimal digits that tell networks apart: a hash of all weights but the head's, which embeds nothing.

    Example:
        >>> fingerprint(nn.Identity())
        'e3b0c44298fc1c14'
    """
    digest = hashlib.sha256()
    for name, value in model.state_dict().items():
        if not name.startswith('head.'):
            digest.update(name.encode() + value.cpu().numpy().tobytes())
    return digest.hexdigest()[:16]
