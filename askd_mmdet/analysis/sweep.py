"""A resolution sweep: one network, of any task, tested from 1x to 32x: where does it break?"""

import copy
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.evaluator import Evaluator
from mmengine.registry import DATASETS, HOOKS, DefaultScope
from mmengine.runner import Runner

from askd_mmdet.analysis.plots import line, panels, runs_legend
from askd_mmdet.degradation.pipelines import degradation_hooks, degradation_of, degradations, pipeline_of
from askd_mmdet.openmmlab import load
from askd_mmdet.progress import track
from askd_mmdet.training import build_model, load_weights
from askd_mmdet.training.config import evaluators_of, load_config, type_name
from askd_mmdet.training.files import replace_text
from askd_mmdet.training.inference import set_up
from askd_mmdet.training.seed import preserved_random_state, seed_all
from askd_mmdet.training.settings import check_number, check_numbers

RATIOS = (1, 2, 4, 8, 16, 32)
# What decides a test, beside the checkpoint.
_DECISIVE = 'model', 'data_preprocessor', 'test_dataloader', 'test_evaluator', 'default_scope'
# Metrics that are means over pictures, so that a sample of these is a smaller test.
_MEANS = 'Accuracy', 'SingleLabelMetric', 'ConfusionMatrix', 'MultiLabelMetric'


def sweep(
    cfg: str | Path | Config,
    checkpoint: str | Path,
    ratios: Sequence[float] = RATIOS,
    count: int | None = None,
    seed: int = 0,
    *,
    cache: str | Path | None = None,
    device: str | None = None,
) -> dict[float, dict[str, float]]:
    """Test a network at several resolutions by its config's own test, in which nothing but the ratio changes.

    The ratio takes the place of that, or of the size, in the test's `LowResolution` or `LowResolutionHook`; a config
    without either is degraded as :class:`LowResolutionHook` does by default. A picture never becomes smaller than one
    pixel.

    Args:
        cfg: Of the experiment, of any task.
        checkpoint: File of the weights, which must fit the model.
        ratios: HR size over LR size, each >= 1.
        count: Test on a sample of so many pictures (verification: of pairs, equally many of each fold); on all where
            there are no more, and by default.
        seed: The same seed draws the same.
        cache: JSON file with the results, by default beside the checkpoint. A ratio is tested once, as long as the
            checkpoint, settings and data of the test, `count` and `seed` are the same; an interrupted sweep goes on.
        device: A device of torch; by default a GPU where there is one.

    Returns:
        The metrics by name for each ratio, in their order; in % where the metric says so.

    Raises:
        FileNotFoundError: When checkpoint or data are missing.
        ValueError: When the checkpoint does not fit, the config has no test, an argument is out of its range, or the
            metric, as one of probes and a gallery, means another thing on a sample.
    """
    cfg = cfg if isinstance(cfg, Config) else load_config(cfg)
    check_numbers('sweep', 'ratios', ratios, at_least=1)
    if count is not None:
        check_number('sweep', 'count', count, whole=True, at_least=1)
    checkpoint = Path(checkpoint)
    if not checkpoint.is_file():
        raise FileNotFoundError(f'no checkpoint at {checkpoint}')
    if not cfg.get('test_dataloader') or not cfg.get('test_evaluator'):
        raise ValueError(f'{cfg.filename or "the config"}: found no test_dataloader or test_evaluator to sweep over')
    cache = Path(cache or checkpoint.with_name(f'sweep_{checkpoint.stem}.json'))
    key = _key(cfg, checkpoint, count, seed)
    known = _read(cache, key)
    missing = [ratio for ratio in ratios if str(float(ratio)) not in known]
    for ratio, metrics in _tested(cfg, checkpoint, missing, count, seed, device):
        known[str(float(ratio))] = metrics
        replace_text(cache, json.dumps(dict(key=key, count=count, seed=seed, ratios=known), indent=1))
    return {ratio: known[str(float(ratio))] for ratio in ratios}


def _key(cfg, checkpoint, count, seed):
    """Equal for equal tests: of the same file of weights, by the same settings, on the same files."""
    settings = {name: cfg.get(name) for name in _DECISIVE} | dict(hooks=degradation_hooks(cfg))
    root = cfg.test_dataloader.get('dataset', {}).get('data_root') or ''
    tests = settings['test_dataloader'], settings['test_evaluator']
    files = {path for text in _texts(tests) for path in (text, os.path.join(root, text)) if os.path.exists(path)}
    stamps = [(path, os.stat(path).st_mtime_ns) for path in sorted({*files, str(checkpoint)})]
    text = json.dumps([settings, stamps, checkpoint.stat().st_size, count, seed], default=str, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _texts(value) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ():
        yield from _texts(inner)


def _read(cache, key):
    try:
        content = json.loads(cache.read_text())
        return content['ratios'] if content['key'] == key else {}
    except (OSError, ValueError, KeyError, TypeError):  # not there, damaged, or of another program
        return {}


def _tested(cfg, checkpoint, ratios, count, seed, device):
    """The metrics at each ratio. Network and data are made once; random states and scope are left as they were."""
    if not ratios:
        return
    if (scope := cfg.get('default_scope')) in ('mmdet', 'mmpretrain'):
        load(scope)
    cfg = copy.deepcopy(cfg)
    with preserved_random_state(), DefaultScope.overwrite_default_scope(scope):
        model = build_model(cfg)
        load_weights(model, checkpoint)
        set_up(model, device)
        for metric in evaluators_of(cfg):  # what the config's own test has written stays
            metric.update({name: None for name in ('out_dir', 'submission_dir') if name in metric})
        dataset, evaluator = DATASETS.build(cfg.test_dataloader.dataset), Evaluator(cfg.test_evaluator)
        if count is not None:
            _sample(dataset, evaluator.metrics, count, seed)
        # Workers that live on would keep the first ratio.
        settings = {**cfg.test_dataloader, 'dataset': dataset, 'persistent_workers': False}
        loader = Runner.build_dataloader(settings, seed=seed)
        evaluator.dataset_meta = getattr(dataset, 'metainfo', None)
        steps = _degradations(loader.dataset, cfg)
        for ratio in ratios:
            for step in steps:
                step.ratios, step.size = [ratio], None
            seed_all([seed])
            for batch in track(loader, f'testing at {ratio:g}x'):
                with torch.inference_mode():
                    evaluator.process(model.test_step(batch), batch)
            metrics = evaluator.evaluate(len(loader.dataset))
            yield ratio, {name: float(value) for name, value in metrics.items() if np.ndim(value) == 0}


def _degradations(dataset, cfg):
    """The degradations of a test, which has at least one."""
    if not degradations(dataset):
        hook, *_ = [*degradation_hooks(cfg), dict(type='LowResolutionHook', ratio=1)]
        HOOKS.build(hook).degrade_test(dataset)
    return degradations(dataset)


def sampled(total: int, count: int | None, seed: int) -> list[int]:
    """`count` of the numbers below `total`, at random and ascending; all where `count` is None or not below.

    Example:
        >>> sampled(9, 3, seed=0), sampled(2, 5, seed=0)
        ([4, 5, 7], [0, 1])
    """
    if count is None or count >= total:
        return list(range(total))
    return np.sort(np.random.default_rng(seed).choice(total, count, replace=False)).tolist()


def _sample(dataset, metrics, count, seed):
    """Leave of a test set a sample, and of the metrics' own ground truth what belongs to it."""
    kinds = [type(metric).__name__ for metric in metrics]
    if kinds == ['VerificationMetric']:
        _sample_pairs(dataset, metrics[0], count, seed)
        return
    if not isinstance(dataset, BaseDataset) or not set(kinds) <= {'WiderFaceMetric', 'CocoMetric', *_MEANS}:
        raise ValueError(
            f'{", ".join(kinds)} on {type(dataset).__name__}: its metrics mean another thing on a sample of the '
            'pictures; test on all of them, count=None'
        )
    dataset.get_subset_(sampled(len(dataset), count, seed))
    infos = [dataset.get_data_info(number) for number in range(len(dataset))]
    for metric in metrics:
        if hasattr(metric, 'ground_truth'):
            names = [f'{path.parent.name}/{path.stem}' for path in (Path(info['img_path']) for info in infos)]
            metric.ground_truth = {name: metric.ground_truth[name] for name in names if name in metric.ground_truth}
        elif type(metric).__name__ == 'CocoMetric':
            metric.img_ids = [info['img_id'] for info in infos]


def _sample_pairs(dataset, metric, count, seed):
    """Leave of pairs to verify equally many of each fold, and the pictures that they show."""
    dataset.full_init()
    pairs, same = (np.asarray(dataset.metainfo[key]) for key in ('pairs', 'same'))
    if count >= len(pairs):
        return
    numbers = metric.folds_of(dataset.metainfo)
    folds = numbers[-1] + 1
    if count < folds:
        raise ValueError(f'sweep: found count={count}, expected a pair for each of {folds} folds')
    places = [np.flatnonzero(numbers == fold) for fold in range(folds)]
    chosen = np.concatenate([part[sampled(len(part), count // folds, seed + i)] for i, part in enumerate(places)])
    pictures, numbers = np.unique(pairs[chosen], return_inverse=True)
    dataset.get_subset_(pictures.tolist())
    dataset._metainfo.update(pairs=numbers.reshape(-1, 2), same=same[chosen])


def trained_ratios(cfg: Config) -> list[float]:
    """The ratios that a network was trained at, several where its training draws them.

    Of a config that says the size of its LR pictures the HR ones have the size that ResizeToHR gives them; without that
    no ratio is known, and the list is empty.
    """
    found = degradation_of(cfg, 'train')
    if 'size' in found:
        steps = pipeline_of(cfg.train_dataloader.dataset)
        sides = [step['size'] for step in steps if type_name(step) == 'ResizeToHR']
        return [float(np.max(side) / np.min(found['size'])) for side in sides]
    return np.atleast_1d(found['ratio']).tolist()


def plot_sweep(
    results: Mapping[str, Mapping[float, Mapping[str, float]]],
    metric: str,
    trained: Mapping[str, Sequence[float]] | None = None,
) -> Figure:
    """A metric over the ratio, a line for each network; a ring where it was trained.

    Args:
        results: Of each network, see :func:`sweep`.
        metric: Name of a metric that all have.
        trained: For each network the ratios that it was trained at, see :func:`trained_ratios`; those beyond the
            tested ones get no ring.

    Raises:
        ValueError: When there is no network, or one lacks the metric; says which it has.
    """
    if not results:
        raise ValueError('plot_sweep: found no network, expected at least one')
    figure, (axes,) = panels(size=(4.4, 2.8))
    for number, (label, points) in enumerate(results.items()):
        if lacking := [ratio for ratio, metrics in points.items() if metric not in metrics] or not points:
            known = sorted({name for metrics in points.values() for name in metrics})
            raise ValueError(f'{label} has no {metric} at {lacking}; it has {", ".join(known) or "nothing"}')
        ratios = sorted(points)
        values = [points[ratio][metric] for ratio in ratios]
        axes.plot(ratios, values, label=label, **line(number))
        rings = [ratio for ratio in (trained or {}).get(label, ()) if ratios[0] <= ratio <= ratios[-1]]
        heights = np.interp(np.log2(rings), np.log2(ratios), values)
        axes.plot(rings, heights, 'o', color=line(number)['color'], markersize=11, fillstyle='none')
    ticks = sorted({ratio for points in results.values() for ratio in points})
    axes.set_xscale('log', base=2)
    axes.set_xticks(ticks, [f'{ratio:g}x' for ratio in ticks])
    axes.set(xlabel='HR size over LR size (ring: trained there)' if trained else 'HR size over LR size', ylabel=metric)
    runs_legend(axes, results)
    return figure
