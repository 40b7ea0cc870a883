"""Evaluate a checkpoint by the metric of its task: AP, verification, identification or accuracy.

Detections on WIDER FACE are on request also written as a submission, and drawn.
"""

import argparse
from pathlib import Path

from askd_mmdet.arguments import add_run, new_file


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_run(parser)
    parser.add_argument('checkpoint', help='weights of the network, e.g. work_dirs/<config name>/epoch_630.pth')
    parser.add_argument('--out', type=new_file, help='write the metrics into this JSON file')
    parser.add_argument('--submission-dir', help="write the detections in WIDER FACE's submission format here")
    parser.add_argument('--show-dir', help='draw detections and ground truth into pictures below this folder')
    parser.add_argument('--score', type=float, default=0.3, help='draw detections from this score on (default: 0.3)')


def run(args: argparse.Namespace) -> None:
    import json

    from mmengine.dist import is_main_process
    from mmengine.registry import RUNNERS

    from askd_mmdet.training.config import evaluators_of, type_name
    from askd_mmdet.training.files import replace_text
    from askd_mmdet.training.launch import leave, read_config

    cfg = read_config(args)
    cfg.update(load_from=args.checkpoint, resume=False)  # that of a resumed run says True
    if (args.submission_dir or args.show_dir) and cfg.default_scope != 'mmdet':
        raise ValueError(
            '--submission-dir and --show-dir are for detectors; metrics of recognition draw with '
            '--cfg-options test_evaluator.out_dir=FOLDER'
        )
    if args.submission_dir:
        metric = next((metric for metric in evaluators_of(cfg) if type_name(metric) == 'WiderFaceMetric'), None)
        if metric is None:
            raise ValueError(f'--submission-dir needs a WiderFaceMetric, and {args.config} is tested without one')
        metric.submission_dir = args.submission_dir
    if args.show_dir:
        cfg.default_hooks.visualization.update(
            draw=True, interval=1, test_out_dir=str(Path(args.show_dir).absolute()), score_thr=args.score
        )
    metrics = RUNNERS.build(cfg).test()
    if args.out and is_main_process():
        replace_text(args.out, json.dumps(metrics, indent=1))
    leave()
