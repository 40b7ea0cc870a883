"""Ends a run whose loss is no number any more."""

import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from askd_mmdet.training.files import first_names


@HOOKS.register_module()
class FiniteLossHook(Hook):
    """Stops training at the first loss that is NaN or infinite, and before a checkpoint is written with such weights.

    It leaves the step's numbers on the CPU to the hooks behind it, so that they wait for the GPU once together, where
    MMEngine's RuntimeInfoHook would for each of them.

    Raises:
        FloatingPointError: Names the losses or weights, and where the last good checkpoint is.
    """

    priority = 'HIGHEST'  # before RuntimeInfoHook

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch=None, outputs: dict | None = None) -> None:
        outputs.update(zip(list(outputs), torch.stack([value.detach() for value in outputs.values()]).cpu()))
        # All of them: a model whose own loss is called 'loss' hides the total.
        bad = {name: value.item() for name, value in outputs.items() if 'loss' in name and not value.isfinite()}
        if not bad:
            return
        pictures = [getattr(sample, 'img_path', '?') for sample in data_batch.get('data_samples', [])]
        self._stop(runner, f'the loss is not finite: {bad}; pictures: {pictures}')

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """A finite loss can have a gradient that is not, and so can the loss of another process."""
        bad = [name for name, value in checkpoint['state_dict'].items() if not value.isfinite().all()]
        if bad:
            self._stop(runner, f'{len(bad)} weights are not finite, nothing was saved: {first_names(bad)}')

    @staticmethod
    def _stop(runner, what):
        raise FloatingPointError(
            f'epoch {runner.epoch + 1}, iteration {runner.iter + 1}: {what}. Resume (--resume) from the last good '
            f'checkpoint in {runner.work_dir} with a lower learning rate or loss weight, gradient clipping '
            '(optim_wrapper.clip_grad), or without --amp'
        )
