"""MMEngine's Runner with checkpoints that survive kills and are never half-loaded."""

import copy
import os
import re
from logging import WARNING, StreamHandler
from pathlib import Path

from mmengine.config import Config
from mmengine.dist import barrier, master_only
from mmengine.logging import MMLogger
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper
from mmengine.registry import RUNNERS
from mmengine.runner import BaseLoop, CheckpointLoader, Runner
from mmengine.visualization import Visualizer
from torch import nn

from askd_mmdet.training.amp import mixed
from askd_mmdet.training.checkpoint import check_weights, use_safe_loading, weights_of
from askd_mmdet.training.config import settle
from askd_mmdet.training.introduction import introduce
from askd_mmdet.training.layout import channels_last
from askd_mmdet.training.settings import check_number, check_type


def _rate(group):
    """The learning rate of a group of weights, before any schedule."""
    return group.get('initial_lr', group['lr'])


@RUNNERS.register_module()
class SafeRunner(Runner):
    """The Runner of our configs (``runner_type='SafeRunner'``).

    Checkpoints are verified by their checksums, read as data only, must fit the model exactly, and appear on the disk
    complete or not at all. With `resume='auto'` (`--resume` without a file) the run goes on from the newest checkpoint
    of the work directory; where there is none it begins as it would, with the weights of `load_from` if they are named.
    A resumed run has the learning rate of its config, scheduled as before, were it another before.

    It alone reads two settings of a config: `amp`, see :func:`askd_mmdet.training.amp.mixed`, and `channels_last`, True
    or False, see :func:`askd_mmdet.training.layout.channels_last`.
    """

    @classmethod
    def from_cfg(cls, cfg: Config) -> 'SafeRunner':
        """Build it from a config, :func:`settle`d."""
        return super().from_cfg(settle(cfg))

    def __init__(self, *args, **kwargs):
        use_safe_loading()
        super().__init__(*args, **kwargs)
        for handler, level in self._muted:
            handler.setLevel(level)
        self.logger.info(introduce(self))

    def build_logger(self, *args, **kwargs) -> MMLogger:
        """MMEngine's logger, which until the run is introduced shows only warnings on the screen.

        What MMEngine says of its own old parts, which it uses itself, is for the file alone.
        """
        logger = super().build_logger(*args, **kwargs)
        self._muted = [(handler, handler.level) for handler in logger.handlers if type(handler) is StreamHandler]
        for handler, level in self._muted:
            handler.setLevel(max(level, WARNING))
            handler.addFilter(lambda record: 'will be deprecated' not in record.getMessage())
        return logger

    def build_visualizer(self, visualizer: Visualizer | dict | None = None) -> Visualizer:
        """MMEngine's visualizer, named after the folder of the run's logs, whatever the config calls it.

        By one name MMEngine would give a second run of the process that of the first, which logs into its folder.
        """
        if isinstance(visualizer, dict):
            visualizer = dict(visualizer, name=self.log_dir)
        return super().build_visualizer(visualizer)

    def wrap_model(self, model_wrapper_cfg: dict | None, model: nn.Module) -> nn.Module:
        """MMEngine's wrapped model, laid out channels last where the config says so."""
        wanted = self.cfg.get('channels_last', False)
        check_type('SafeRunner', 'channels_last', wanted, bool)
        # Before DDP, whose buckets have the layout of the weights.
        return super().wrap_model(model_wrapper_cfg, channels_last(model) if wanted else model)

    def build_train_loop(self, loop: dict) -> BaseLoop:
        """MMEngine's loop.

        Raises:
            ValueError: When its epochs have no step, since incomplete batches are dropped.
        """
        loop = super().build_train_loop(loop)
        if not len(loop.dataloader):
            raise ValueError(
                f'an epoch has no step: {len(loop.dataloader.dataset)} training samples make no batch of '
                f'{loop.dataloader.batch_sampler.batch_size}, and incomplete ones are dropped; lower '
                'train_dataloader.batch_size'
            )
        return loop

    def train(self):
        self.optim_wrapper = mixed(self.optim_wrapper, self.cfg.get('amp'))
        model = super().train()
        barrier()  # a process that left while the first one saves would abort under gloo, and torchrun end them all
        return model

    def load_or_resume(self) -> None:
        if self._resume == 'auto' or (self._resume and self._load_from is None):
            if newest := self._newest():
                self._load_from = str(newest)
            else:
                self._resume = False
                self.logger.info(f'No checkpoint in {self.work_dir} to resume from: training starts anew.')
        super().load_or_resume()

    def _newest(self):
        """The checkpoint that was written last, None where there is none; the greatest number may be of a run that went
        back to an earlier one.
        """
        folder = Path(self.work_dir)
        pointer = folder / 'last_checkpoint'
        # A kill can leave it empty or ahead of its checkpoint, and it names the folder where it was written.
        named = folder / Path(pointer.read_text().strip()).name if pointer.is_file() else folder
        if named.is_file():
            return named
        steps = [path for path in folder.glob('*.pth') if re.fullmatch(r'(?:epoch|iter)_\d+\.pth', path.name)]
        return max(steps, key=lambda path: (path.stat().st_mtime_ns, int(path.stem.split('_')[1])), default=None)

    def load_checkpoint(self, filename, map_location='cpu', *args, **kwargs):
        """Load all weights of a checkpoint (path or URL), or none.

        Raises:
            FileNotFoundError, ValueError: See :func:`askd_mmdet.training.checkpoint.load_weights`.
        """
        checkpoint = CheckpointLoader.load_checkpoint(filename, map_location)
        self.call_hook('after_load_checkpoint', checkpoint=checkpoint)
        weights = weights_of(checkpoint, filename)
        check_weights(self._bare_model, weights, filename)
        self._bare_model.load_state_dict(weights, strict=False)
        self._has_loaded = True
        self.logger.info(f'Load checkpoint from {filename}')
        if isinstance(meta := checkpoint.get('meta'), dict):
            meta.pop('config', None)  # MMEngine would run it, being Python, to see `gpu_ids`, which no config has today
        return checkpoint

    def resume(self, filename, *args, **kwargs):
        """Go on with the run in a checkpoint (path or URL); a model whose run cannot go on stays as it is.

        Raises:
            FileNotFoundError, ValueError: See :meth:`load_checkpoint`; when the other parts are no run of this config.
        """
        before = copy.deepcopy(self._bare_model.state_dict())
        self._has_loaded = False
        # Of several optimizers, or none, nothing is kept.
        groups = self.optim_wrapper.param_groups if isinstance(self.optim_wrapper, OptimWrapper) else []
        rates = [_rate(group) for group in groups]
        try:
            super().resume(filename, *args, **kwargs)
            for name in ('epoch', 'iter'):
                check_number('meta', name, getattr(self, name), whole=True, at_least=0)
        except Exception as error:  # MMEngine takes the parts as it finds them, and raises whatever it runs into
            if not self._has_loaded:
                raise
            self._bare_model.load_state_dict(before)
            raise ValueError(
                f'{filename} holds weights, but no run that this config can go on with ({type(error).__name__}: '
                f'{error}); to start from the weights alone use load_from without --resume'
            ) from error
        self._keep(rates)

    def _keep(self, rates):
        """Have the optimizer go on with the learning rates of its config, where the checkpoint brought others."""
        changed = None
        for number, (group, rate) in enumerate(zip(self.optim_wrapper.param_groups if rates else (), rates)):
            before = _rate(group)
            if rate != before:
                group.update(lr=group['lr'] * rate / before if before else rate, initial_lr=rate)
                for scheduler in self.param_schedulers or ():
                    if scheduler.param_name == 'lr' and hasattr(scheduler, 'base_values'):
                        scheduler.base_values[number] = rate
                changed = changed or f'{rate:g} in place of {before:g}'
        if changed:
            self.logger.info(f"The run goes on with the config's learning rate, {changed}")

    @property
    def _bare_model(self):
        return self.model.module if is_model_wrapper(self.model) else self.model

    @master_only
    def save_checkpoint(self, out_dir, filename, *args, **kwargs) -> None:
        """Write a checkpoint beside its place and move it there once complete."""
        super().save_checkpoint(out_dir, f'{filename}.part', *args, **kwargs)
        path = os.path.join(out_dir, filename)
        os.replace(f'{path}.part', path)
