"""torch.compile of a part of a network that has no loops over data."""

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from askd_mmdet.training.layout import check_channels_last
from askd_mmdet.training.settings import check_type


@HOOKS.register_module()
class CompileHook(Hook):
    """Compiles a part of the network by torch.compile when it first runs in training; taps inside stay.

    MMEngine's `compile=True` compiles the whole step instead, with the assignment of boxes, the optimiser and the log,
    which torch cuts into dozens of graphs, or fails at.

    Args:
        part: Name of the module.
        **options: torch.compile's.

    Raises:
        ValueError: When the network has no such part, or see :func:`check_channels_last`: so the default compiler lays
            out what convolutions compute from.
    """

    def __init__(self, part: str = 'backbone', **options):
        check_type('CompileHook', 'part', part, str)
        self.part = part
        self.options = options

    def before_train(self, runner: Runner) -> None:
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        modules = dict(model.named_modules())
        if self.part not in modules:
            raise ValueError(f'CompileHook: {type(model).__name__} has no part {self.part!r}, but {", ".join(modules)}')
        if self.options.get('backend', 'inductor') == 'inductor':
            check_channels_last(modules[self.part])
        modules[self.part].compile(**self.options)
