"""MMEngine's Runner with checkpoints that survive kills and are never half-loaded."""

import os
import re
from logging import WARNING, StreamHandler
from pathlib import Path

from mmengine.config import Config
from mmengine.dist import barrier, master_only
from mmengine.logging import MMLogger
from mmengine.model import is_model_wrapper
from mmengine.registry import RUNNERS
from mmengine.runner import CheckpointLoader, Runner

from askd_mmdet.training.checkpoint import check_weights, use_safe_loading, weights_of
from askd_mmdet.training.config import settle
from askd_mmdet.training.introduction import introduce


@RUNNERS.register_module()
class SafeRunner(Runner):
    """The Runner of our configs (``runner_type='SafeRunner'``).

    Checkpoints are read as data only, must fit the model exactly, and appear on the disk complete or not at all.
    `--resume` without a file takes the newest complete checkpoint of the work directory.
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
        """MMEngine's logger, which until the run is introduced shows only warnings on the screen."""
        logger = super().build_logger(*args, **kwargs)
        self._muted = [(handler, handler.level) for handler in logger.handlers if type(handler) is StreamHandler]
        for handler, level in self._muted:
            handler.setLevel(max(level, WARNING))
        return logger

    def train(self):
        model = super().train()
        barrier()  # a process that left while the first one saves would abort under gloo, and torchrun end them all
        return model

    def load_or_resume(self) -> None:
        if self._resume and self._load_from is None:
            # MMEngine follows a pointer file, which a kill can leave empty or ahead of its checkpoint.
            steps = [
                (int(match[1]), str(path))
                for path in Path(self.work_dir).glob('*.pth')
                if (match := re.fullmatch(r'(?:epoch|iter)_(\d+)\.pth', path.name))
            ]
            if not steps:
                self.logger.info(f'No checkpoint in {self.work_dir} to resume from: training starts anew.')
                return
            self._load_from = max(steps)[1]
        super().load_or_resume()

    def load_checkpoint(self, filename, map_location='cpu', strict=True, revise_keys=((r'^module.', ''),)):
        """Load all weights of a checkpoint (path or URL), or none.

        Raises:
            FileNotFoundError, ValueError: See :func:`askd_mmdet.training.checkpoint.load_weights`.
        """
        model = self.model.module if is_model_wrapper(self.model) else self.model
        check_weights(model, weights_of(CheckpointLoader.load_checkpoint(filename, 'cpu')), filename)
        return super().load_checkpoint(filename, map_location, revise_keys=list(revise_keys))

    @master_only
    def save_checkpoint(self, out_dir, filename, *args, **kwargs) -> None:
        """Write a checkpoint beside its place and move it there once complete."""
        super().save_checkpoint(out_dir, f'{filename}.part', *args, **kwargs)
        path = os.path.join(out_dir, filename)
        os.replace(f'{path}.part', path)
