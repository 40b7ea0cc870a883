"""The network that a config describes."""

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
    model = cfg.model.copy()
    if 'data_preprocessor' in cfg:
        model.setdefault('data_preprocessor', cfg.data_preprocessor)
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope')):
        return MODELS.build(model)
