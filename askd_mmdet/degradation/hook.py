"""The hook that degrades the pictures of any config, in training, validation and test: no pipeline is written anew."""

from collections.abc import Sequence

from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch.utils.data import Dataset

from askd_mmdet.degradation.pipelines import degradations, pipelined, refuse_switches
from askd_mmdet.degradation.transform import LowResolution


@HOOKS.register_module()
class LowResolutionHook(Hook):
    """Puts a :class:`LowResolution` into the pipelines of the train, the validation and the test data sets.

    A picture is loaded (all transforms at the head of a pipeline whose names begin with `Load`), then degraded; the
    other transforms run inside :class:`LowResolution`. Training keeps the HR images where a hook of the runner takes
    them, as :class:`DistillationHook` does. So the same config with this hook is the LR base, and with both the
    student.

    Args:
        ratio: HR size over LR size, >= 1; from a sequence, one is drawn for every picture of the training.
        size: Instead of `ratio`, the LR size in pixels, see `low_resolution`.
        sigma: Blur in LR pixels, see `low_resolution`.
        recipe: See `low_resolution`; a camera's treats a picture differently in every epoch of the training, and always
            alike in validation and test.
        after: Names of transforms. A picture is degraded after the last transform of its pipeline that has one of
            them: `['RandomResizedCrop', 'CenterCrop']` makes the ratio that of the crop which the network sees.
        test_ratio: The ratio of validation and test, by default `ratio`.

    Raises:
        ValueError: When built, for a sequence as `ratio` without `test_ratio`. Before the first epoch, for another
            setting that :class:`LowResolution` refuses, a pipeline that has a `LowResolution` or that no
            `LowResolution` fits (see there), a data set that mixes samples of others or has no pipeline, and a hook
            that changes the training pipeline in later epochs.

    Example:
        >>> hook = LowResolutionHook(ratio=4)
    """

    priority = 'HIGH'  # DistillationHook looks at what this has made

    def __init__(
        self,
        ratio: float | Sequence[float] | None = None,
        size: int | tuple[int, int] | None = None,
        sigma: float = 0.5,
        recipe: str = 'paper',
        after: str | Sequence[str] = (),
        test_ratio: float | None = None,
    ):
        if test_ratio is None and isinstance(ratio, Sequence):
            raise ValueError(
                f'LowResolutionHook: found ratio={ratio}, expected test_ratio too: at which to validate and test'
            )
        self.settings = dict(size=size, sigma=sigma, recipe=recipe)
        self.ratio = ratio
        self.test_ratio = ratio if test_ratio is None else test_ratio
        self.after = [after] if isinstance(after, str) else list(after)
        self.degraded = []

    def before_train(self, runner: Runner) -> None:
        """Degrade training and validation. The worker processes, which keep a copy of the data set, start later."""
        keep_hr = any(getattr(hook, 'takes_hr_images', False) for hook in runner.hooks)
        loop = runner.train_loop
        self._degrade(loop.dataloader.dataset, 'training', ratio=self.ratio, keep_hr=keep_hr, vary=True)
        if hasattr(loop, 'dataloader_iterator'):  # in loops by iteration (MMEngine 0.10.7) they started already
            loop.dataloader_iterator = type(loop.dataloader_iterator)(loop.dataloader)
        refuse_switches(runner, keep_hr)
        if runner.val_loop:
            self.before_val(runner)

    def before_val(self, runner: Runner) -> None:
        self._degrade(runner.val_loop.dataloader.dataset, 'validation', ratio=self.test_ratio, vary=False)

    def before_test(self, runner: Runner) -> None:
        self.degrade_test(runner.test_loop.dataloader.dataset)

    def degrade_test(self, dataset: Dataset) -> None:
        """Degrade the pictures of a data set, or whatever has a `pipeline`, as in the test."""
        self._degrade(dataset, 'test', ratio=self.test_ratio, vary=False)

    def _degrade(self, dataset: Dataset, split: str, **settings) -> None:
        if any(dataset is done for done in self.degraded):  # validation comes after every epoch
            return
        if degradations(dataset):
            raise ValueError(f'the {split} pipeline has a LowResolution already; remove it, or LowResolutionHook')
        found = list(pipelined(dataset))
        if not all(hasattr(part.pipeline, 'transforms') for part in found) or not found:
            raise ValueError(
                f'LowResolutionHook finds no pipeline of single pictures in the {split} data set '
                f'{type(dataset).__name__}; write LowResolution(transforms=[...]) into the config, after what mixes '
                'pictures'
            )
        for part in found:
            transforms = part.pipeline.transforms
            start = self._start([type(transform).__name__ for transform in transforms], split)
            try:
                transforms[start:] = [LowResolution(transforms[start:], **self.settings, **settings)]
            except ValueError as error:
                raise ValueError(f'LowResolutionHook, {split} pipeline: {error}') from error
        self.degraded.append(dataset)

    def _start(self, names: list[str], split: str) -> int:
        """How many transforms see the picture before it is degraded."""
        if not self.after:
            return next((i for i, name in enumerate(names) if not name.startswith('Load')), len(names))
        places = [i for i, name in enumerate(names) if name in self.after]
        if not places:
            raise ValueError(
                f'LowResolutionHook: found none of after={self.after} in the {split} pipeline {names}; name a '
                'transform of it, too'
            )
        return places[-1] + 1
