"""The pipelines of any OpenMMLab data set, below its wrappers, and the hooks that change them during a training.

Of data sets that are built, and of configs.
"""

from collections.abc import Iterator
from types import SimpleNamespace

from mmcv.transforms import Compose
from mmengine.config import Config
from mmengine.registry import HOOKS, DefaultScope
from mmengine.runner import Runner
from torch.utils.data import Dataset

from askd_mmdet.degradation.transform import LowResolution, walk
from askd_mmdet.training.config import type_name


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


def pipeline_of(dataset: dict) -> list[dict]:
    """The transforms in a data set's config, below its wrappers (`ConcatDataset`, ...): those of the first inside.

    Raises:
        ValueError: When there are none.
    """
    inner = dataset
    while 'pipeline' not in inner:
        inner = inner.get('dataset') or next(iter(inner.get('datasets') or ()), None)
        if not inner:
            raise ValueError(
                f'the data set {type_name(dataset)} has no pipeline in its config, so nothing is known of its pictures'
            )
    return inner['pipeline']


def degradation_hooks(cfg: Config) -> list[dict]:
    """The settings of a config's LowResolutionHook: none or one."""
    return [hook for hook in cfg.get('custom_hooks') or () if type_name(hook) == 'LowResolutionHook']


def build_pipeline(cfg: Config, steps: list, degrade: bool) -> Compose:
    """The transforms that make a network's input of a picture in use.

    Args:
        cfg: Of the experiment.
        steps: The transforms; those in them that degrade are changed.
        degrade: Whether to degrade as the config's test does, by its `LowResolution` or `LowResolutionHook`, or not.
    """
    if not degrade:
        for step in steps:
            if isinstance(step, dict) and type_name(step) == 'LowResolution':
                step.update(ratio=1, size=None)
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope')):
        pipeline = Compose(steps)
        for hook in degradation_hooks(cfg) if degrade else []:
            HOOKS.build(hook).degrade_test(SimpleNamespace(pipeline=pipeline))
    return pipeline


def degradation_of(cfg: Config, split: str = 'test') -> dict:
    """How a config degrades the pictures of a split: the arguments of `low_resolution`, of which a training's ratio may
    be a list.

    Args:
        cfg: Of the experiment.
        split: 'train', 'val' or 'test'.

    Example:
        >>> hook = dict(type='LowResolutionHook', ratio=4)
        >>> degradation_of(Config(dict(custom_hooks=[hook], test_dataloader=dict(dataset=dict(pipeline=[])))))
        {'ratio': 4}
    """
    steps = [step for step in _dicts(cfg.get(f'{split}_dataloader')) if type_name(step) == 'LowResolution']
    step, *_ = [*steps, *degradation_hooks(cfg), dict(ratio=1)]
    found = {key: step[key] for key in ('ratio', 'size', 'sigma', 'recipe') if step.get(key) is not None}
    if split != 'train' and step.get('test_ratio') is not None:
        found['ratio'] = step['test_ratio']
    return found


def _dicts(value) -> Iterator[dict]:
    if isinstance(value, dict):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ():
        yield from _dicts(inner)


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
