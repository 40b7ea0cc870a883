"""Tables 1 and 2 in small: HR teacher, LR base and A-SKD student are trained, and verify and identify faces.

Without options it runs on toy faces made of real ones that ship with scikit-image, on two cores in minutes.
Interrupted, it goes on where it stopped when called again. With --data it runs on any set in the toy's layout.
"""

import argparse
import sys
import time
from pathlib import Path

from mmengine.config import Config, DictAction

from askd_mmdet.toy import make_face_identities
from askd_mmdet.training.stages import evaluate_once, last_checkpoint, mean_and_std, train_once

TOY = Path('data/toy_faces')
CONFIGS = Path('configs/toy')
HR, BASE, ASKD = (f'arcface_ir18-cbam_toy{suffix}' for suffix in ('', '-4x', '-4x_askd'))
# Row of the table: resolution, model, config it was trained with, config it is evaluated with.
ROWS = [
    ('1x', 'HR teacher', HR, HR),
    ('{ratio}x', 'HR teacher', HR, BASE),
    ('{ratio}x', 'Base', BASE, BASE),
    ('{ratio}x', 'A-SKD', ASKD, ASKD),
]
COLUMNS = {
    'Ver-ACC': 'verification/accuracy',
    'AUC': 'verification/auc',
    'rank 1': 'identification/rank@1',
    'rank 5': 'identification/rank@5',
}


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        '--work-dir', type=Path, default=Path('work_dirs/demo_recognition'), help='default: %(default)s'
    )
    parser.add_argument(
        '--data', type=Path, default=TOY, help='a data set (default: the toy set, %(default)s, made if missing)'
    )
    parser.add_argument('--seeds', type=int, nargs='+', default=[0], help='one teacher and two students each: 0')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, default={}, help='override settings of all runs')
    return parser.parse_args()


def configure(name: str, seed: int, args: argparse.Namespace) -> Config:
    """A toy config on the data and in the work directory that were asked for."""
    cfg = Config.fromfile(CONFIGS / f'{name}.py')
    cfg.work_dir = str(args.work_dir / f'seed{seed}' / name)
    cfg.randomness.seed = seed
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        loader.dataset.data_root = str(args.data)
    cfg.merge_from_dict(args.cfg_options)
    cfg.train_cfg.val_begin = cfg.train_cfg.max_epochs + 1  # the last epoch is evaluated afterwards
    for hook in cfg.custom_hooks:
        if hook.type == 'DistillationHook':
            teacher = configure(HR, seed, args)
            hook.teacher = dict(model=teacher.model, default_scope=teacher.default_scope)
            hook.checkpoint = str(last_checkpoint(teacher))
    return cfg


def train(name: str, seed: int, args: argparse.Namespace) -> None:
    """Train a config to its end, from the last epoch that is done."""
    train_once(configure(name, seed, args))


def evaluate(trained: str, evaluated: str, seed: int, args: argparse.Namespace) -> dict[str, float]:
    """What the last checkpoint of one config verifies, and identifies where there are probes, as another one tests."""
    checkpoint = last_checkpoint(configure(trained, seed, args))
    cfg = configure(evaluated, seed, args)
    cfg.work_dir = str(args.work_dir / f'seed{seed}' / f'{trained}_on_{evaluated}')
    metrics = evaluate_once(cfg, checkpoint)
    if (args.data / 'Probe').is_dir():
        cfg = configure(evaluated, seed, args)
        cfg.work_dir = str(args.work_dir / f'seed{seed}' / f'{trained}_identifies_on_{evaluated}')
        pipeline = cfg.test_dataloader.dataset.pipeline
        cfg.test_dataloader.dataset = dict(type='TinyFaceDataset', data_root=str(args.data), pipeline=pipeline)
        cfg.test_evaluator = dict(type='IdentificationMetric', out_dir=f'{cfg.work_dir}/curves')
        metrics |= evaluate_once(cfg, checkpoint)
    return metrics


def table(scores: dict[tuple, list[dict[str, float]]], seeds: list[int]) -> str:
    """Markdown: figures in %, mean and standard deviation over the seeds."""
    columns = {title: key for title, key in COLUMNS.items() if all(key in runs[0] for runs in scores.values())}
    lines = [f'| Resolution | Model | {" | ".join(columns)} |', f'|{"---|" * (2 + len(columns))}']
    for (resolution, model), runs in scores.items():
        cells = [mean_and_std([100 * run[key] for run in runs]) for key in columns.values()]
        lines.append(f'| {resolution} | {model} | {" | ".join(cells)} |')
    return '\n'.join([*lines, '', f'In %, seed{"s" * (len(seeds) > 1)} {", ".join(map(str, seeds))}.'])


def main():
    args = parse_args()
    start = time.time()
    if args.data == TOY:
        make_face_identities(TOY)
    stages = [(train, (name,), seed) for seed in args.seeds for name in (HR, BASE, ASKD)]
    stages += [(evaluate, row[2:], seed) for seed in args.seeds for row in ROWS]
    ratio = configure(BASE, 0, args).test_dataloader.dataset.pipeline[-1].ratio
    scores = {}
    for i, (do, names, seed) in enumerate(stages, 1):
        print(f'\n== {i}/{len(stages)} {do.__name__} {" on ".join(dict.fromkeys(names))}, seed {seed}', flush=True)
        result = do(*names, seed, args)
        if result:
            resolution, model, *_ = ROWS[[row[2:] for row in ROWS].index(names)]
            scores.setdefault((resolution.format(ratio=ratio), model), []).append(result)

    text = table(scores, args.seeds)
    (args.work_dir / 'table.md').write_text(text + '\n')
    print(f'\n{text}\n\nThe table: {args.work_dir}/table.md')
    print(f'Took {(time.time() - start) / 60:.1f} minutes.')


if __name__ == '__main__':
    try:
        main()
    except KeyboardInterrupt:
        sys.exit('\nInterrupted. The same command goes on where this one stopped.')
