"""Table 5 in small: HR teacher, LR base and A-SKD student are trained, evaluated, tabulated and drawn.

Without options it runs on toy data made of real faces that ship with scikit-image, on two cores in about 15 minutes.
Interrupted, it goes on where it stopped when called again. With --data it runs on any data in WIDER FACE's layout.
"""

import argparse
import sys
import time
from pathlib import Path

import cv2
import numpy as np
from mmengine.config import Config, DictAction

from askd_mmdet.degradation import low_resolution
from askd_mmdet.detection.submission import read_detections
from askd_mmdet.detection.wider_face_dataset import read_annotations
from askd_mmdet.detection.wider_face_protocol import SETTINGS
from askd_mmdet.toy import make_wider_face
from askd_mmdet.training.stages import evaluate_once, last_checkpoint, mean_and_std, train_once

TOY = Path('data/toy_wider_face')
CONFIGS = Path('configs/toy')
HR, BASE, ASKD = (f'tinaface_r50-bn-cbam_toy{suffix}' for suffix in ('', '-4x', '-4x_askd'))
# Row of the table: resolution, model, config it was trained with, config it is evaluated with.
ROWS = [
    ('1x', 'HR teacher', HR, HR),
    ('{ratio}x', 'HR teacher', HR, BASE),
    ('{ratio}x', 'Base', BASE, BASE),
    ('{ratio}x', 'A-SKD', ASKD, ASKD),
]


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/demo'), help='default: %(default)s')
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
    for evaluator in (cfg.val_evaluator, cfg.test_evaluator):
        evaluator.ground_truth = str(args.data / 'eval_tools/ground_truth')
    cfg.merge_from_dict(args.cfg_options)
    cfg.train_cfg.val_begin = cfg.train_cfg.max_epochs + 1  # the last epoch is evaluated afterwards
    for hook in cfg.custom_hooks:
        if hook.type == 'DistillationHook':
            hook.checkpoint = str(last_checkpoint(configure(HR, seed, args)))
    return cfg


def train(name: str, seed: int, args: argparse.Namespace) -> None:
    """Train a config to its end, from the last epoch that is done."""
    train_once(configure(name, seed, args))


def evaluate(trained: str, evaluated: str, seed: int, args: argparse.Namespace) -> dict[str, float]:
    """AP of the last checkpoint of one config under the test pipeline of another."""
    cfg = configure(evaluated, seed, args)
    cfg.work_dir = str(args.work_dir / f'seed{seed}' / f'{trained}_on_{evaluated}')
    cfg.test_evaluator.submission_dir = f'{cfg.work_dir}/submission'
    metrics = evaluate_once(cfg, last_checkpoint(configure(trained, seed, args)))
    return {subset: 100 * metrics[f'wider_face/{subset}'] for subset in SETTINGS}


def table(scores: dict[tuple, list[dict[str, float]]], seeds: list[int]) -> str:
    """Markdown: AP in %, mean and standard deviation over the seeds."""
    lines = ['| Resolution | Model | Easy | Medium | Hard |', '|---|---|---|---|---|']
    for (resolution, model), runs in scores.items():
        cells = [mean_and_std([run[subset] for run in runs]) for subset in SETTINGS]
        lines.append(f'| {resolution} | {model} | {" | ".join(cells)} |')
    return '\n'.join([*lines, '', f'AP in %, seed{"s" * (len(seeds) > 1)} {", ".join(map(str, seeds))}.'])


def draw(cfg: Config, submissions: list[Path], path: Path, count: int = 6, zoom: int = 2) -> None:
    """A sheet of validation pictures, the fullest of every event: HR, LR, and what both students find in LR.

    As many detections are drawn as there are faces, best first: green on a face (IoU >= 0.5), red beside.
    """
    dataset = cfg.test_dataloader.dataset
    images = Path(dataset.data_root, dataset.data_prefix.img_path)
    annotations = read_annotations(Path(dataset.data_root, dataset.ann_file))
    fullest = {}
    for name, faces, _ in sorted(annotations, key=lambda item: len(item[1])):
        fullest[name.split('/')[0]] = name, faces
    rows = []
    for name, faces in sorted(fullest.values(), key=lambda item: -len(item[1]))[:count]:
        hr = cv2.imread(str(images / name))
        lr = low_resolution(hr, dataset.pipeline[-1].ratio)
        panels = [outline(hr, faces, faces, zoom), outline(lr, faces[:0], faces, zoom)]
        for folder in submissions:
            boxes, scores = read_detections((folder / name).with_suffix('.txt'))
            panels.append(outline(lr, boxes[np.argsort(-scores)[: len(faces)]], faces, zoom))
        rows.append(np.hstack(panels))
    width = max(row.shape[1] for row in rows)
    rows = [cv2.copyMakeBorder(row, 4, 0, 0, width - row.shape[1], cv2.BORDER_CONSTANT) for row in rows]
    title = np.zeros((28, width, 3), np.uint8)
    for i, text in enumerate(('HR, faces', 'LR', 'LR base', 'LR A-SKD')):
        cv2.putText(title, text, (8 + i * width // 4, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (255, 255, 255), 1)
    cv2.imwrite(str(path), np.vstack([title, *rows]))


def outline(image: np.ndarray, boxes: np.ndarray, faces: np.ndarray, zoom: int) -> np.ndarray:
    image = cv2.resize(image, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_CUBIC)
    for x, y, w, h in boxes:
        left, top = np.maximum(faces[:, :2], (x, y)).T
        right, bottom = np.minimum(faces[:, :2] + faces[:, 2:], (x + w, y + h)).T
        shared = (right - left).clip(0) * (bottom - top).clip(0)
        hit = (shared / (w * h + faces[:, 2] * faces[:, 3] - shared)).max() >= 0.5
        corners = np.round(zoom * np.array([[x, y], [x + w, y + h]])).astype(int).tolist()
        cv2.rectangle(image, *corners, (0, 220, 0) if hit else (0, 0, 230), 1, cv2.LINE_AA)
    return image


def main():
    args = parse_args()
    start = time.time()
    if args.data == TOY:
        make_wider_face(TOY, train_images=320, val_images=160)
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
    folders = [args.work_dir / f'seed{args.seeds[0]}' / f'{name}_on_{name}' / 'submission' for name in (BASE, ASKD)]
    draw(configure(BASE, args.seeds[0], args), folders, args.work_dir / 'detections.png')
    print(f'\n{text}\n\nThe table: {args.work_dir}/table.md')
    print(f'The picture: {args.work_dir}/detections.png (green: on a face, red: beside)')
    print(f'Took {(time.time() - start) / 60:.1f} minutes.')


if __name__ == '__main__':
    try:
        main()
    except KeyboardInterrupt:
        sys.exit('\nInterrupted. The same command goes on where this one stopped.')
