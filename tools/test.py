"""Evaluate a checkpoint: WIDER FACE AP (on request with submission files and pictures), or a metric of recognition."""

import json
import os
import sys
from pathlib import Path

from mmengine.dist import is_main_process
from mmengine.registry import RUNNERS

from askd_mmdet.training.files import replace_text
from askd_mmdet.training.launch import common_parser, read_config


def parse_args():
    parser = common_parser(__doc__)
    parser.add_argument('checkpoint', help='weights of the network, e.g. work_dirs/<config name>/epoch_630.pth')
    parser.add_argument('--out', type=Path, help='write the metrics into this JSON file')
    parser.add_argument('--submission-dir', help="write the detections in WIDER FACE's submission format here")
    parser.add_argument('--show-dir', help='draw detections and ground truth into pictures below this folder')
    parser.add_argument('--score', type=float, default=0.3, help='draw detections from this score on (default: 0.3)')
    return parser.parse_args()


def main():
    args = parse_args()
    cfg = read_config(args)
    cfg.load_from = args.checkpoint
    if (args.submission_dir or args.show_dir) and cfg.default_scope != 'mmdet':
        sys.exit(
            '--submission-dir and --show-dir are for detectors; a recognition metric draws with '
            '--cfg-options test_evaluator.out_dir=FOLDER'
        )
    if args.submission_dir:
        evaluators = cfg.test_evaluator if isinstance(cfg.test_evaluator, list) else [cfg.test_evaluator]
        next(metric for metric in evaluators if metric.type == 'WiderFaceMetric').submission_dir = args.submission_dir
    if args.show_dir:
        cfg.default_hooks.visualization.update(
            draw=True, interval=1, test_out_dir=os.path.abspath(args.show_dir), score_thr=args.score
        )
    metrics = RUNNERS.build(cfg).test()
    if args.out and is_main_process():
        replace_text(args.out, json.dumps(metrics, indent=1))


if __name__ == '__main__':
    main()
