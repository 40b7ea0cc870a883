"""Ends a run whose loss is no number any more."""

from math import isfinite

from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner


@HOOKS.register_module()
class FiniteLossHook(Hook):
    """Stops training at the first loss that is NaN or infinite, before a checkpoint is written from it.

    Raises:
        FloatingPointError: Names the losses, the iteration, and the last good checkpoint.
    """

    priority = 'ABOVE_NORMAL'

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch=None, outputs: dict | None = None) -> None:
        if isfinite(outputs['loss'].item()):
            return
        bad = {name: value.item() for name, value in outputs.items() if not isfinite(value.item())}
        pictures = [getattr(sample, 'img_path', '?') for sample in data_batch.get('data_samples', [])]
        raise FloatingPointError(
            f'the loss is not finite at epoch {runner.epoch + 1}, iteration {runner.iter + 1}: {bad}; '
            f'pictures: {pictures}; '
            f'last good checkpoint: {runner.message_hub.get_info("last_ckpt", None)}. Resume from it with a lower '
            'learning rate or loss weight, gradient clipping (optim_wrapper.clip_grad), or without --amp'
        )
