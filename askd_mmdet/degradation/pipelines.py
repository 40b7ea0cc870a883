"""The pipelines of any OpenMMLab data set, below its wrappers, and the hooks that change them during a training."""

from collections.abc import Iterator

from mmcv.transforms import Compose
from mmengine.runner import Runner
from torch.utils.data import Dataset

from askd_mmdet.degradation.transform import LowResolution, walk


def pipelined(dataset: Dataset) -> Iterator[Dataset]:
    """A data set and those inside it (`ConcatDataset`, `RepeatDataset`, ...), if they have a pipeline."""
    if hasattr(dataset, 'pipeline'):
        yield dataset
    for inner in (*getattr(dataset, 'datasets', ()), *filter(None, [getattr(dataset, 'dataset', None)])):
        yield from pipelined(inner)


def degradations(dataset: Dataset) -> list[LowResolution]:
    """All `LowResolution` transforms of a data set."""
    return _degradations([part.pipeline for part in pipelined(dataset)])


def _degradations(pipeline) -> list[LowResolution]:
    return [found for found in walk(pipeline) if isinstance(found, LowResolution)]


def refuse_switches(runner: Runner, keep_hr: bool) -> None:
    """Refuse hooks that would train on other pictures in later epochs.

    `PipelineSwitchHook` and the like may stay if the pipelines they bring have a `LowResolution` as well.
    `YOLOXModeSwitchHook` may if it finds the transforms that it closes by their names.

    Args:
        runner: With its hooks and its train loop.
        keep_hr: Whether pictures have to come in pairs.

    Raises:
        ValueError: Before any epoch, if there is such a hook.
    """
    dataset = runner.train_dataloader.dataset
    inside = {type(found).__name__ for found in walk([step.pipeline for step in degradations(dataset)])}
    for hook in runner.hooks:
        name = type(hook).__name__
        pipelines = [getattr(hook, attribute, None) for attribute in ('switch_pipeline', 'new_train_pipeline')]
        if name == 'SwitchRecipeHook':
            pipelines += [recipe.get('train_pipeline') for recipe in hook.schedule.values()]
        for pipeline in filter(None, pipelines):
            steps = _degradations(pipeline if callable(pipeline) else Compose(pipeline))
            if not steps or (keep_hr and not all(step.keep_hr for step in steps)):
                raise ValueError(
                    f'{name} would bring a training pipeline without LowResolution{"(keep_hr=True)" * keep_hr}, and '
                    'from then on the student would train on HR pictures; remove the hook, or put LowResolution into '
                    'its pipeline'
                )
        closed = set(getattr(hook, 'skip_type_keys', None) or ())
        if closed and (closed & inside or not hasattr(dataset, 'update_skip_type_keys')):
            raise ValueError(
                f'{name} would close {sorted(closed)} by name in later epochs, which {type(dataset).__name__} cannot'
                f'{f" since {sorted(closed & inside)} stand inside LowResolution" if closed & inside else ""}; remove '
                'the hook'
            )
