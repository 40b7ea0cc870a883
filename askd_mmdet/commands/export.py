"""Write a trained detector or recognizer as one ONNX file, which runs without torch.

The file takes pictures as they are, BGR uint8 (N, H, W, 3): any number, and of a detector any size. It is compared with
torch on real pictures before it is left: boxes to 0.1 pixels, scores to 1e-3, embeddings to 1e-5; with --fp16 to 2
pixels, 0.02 and 2e-3.
"""

import argparse
import sys
from pathlib import Path

from askd_mmdet.arguments import add_options, new_file


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        'config', help='its config, e.g. askd_mmdet::detection/tinaface_r50-bn-cbam_widerface.py, or a file'
    )
    parser.add_argument('checkpoint', type=Path, help='weights that were trained with it, e.g. epoch_630.pth')
    parser.add_argument('out', type=new_file, help='file to write, *.onnx')
    parser.add_argument(
        '--nms', action='store_true', help='put thresholds and NMS of a detector inside; it takes one picture at a time'
    )
    parser.add_argument('--fp16', action='store_true', help='layers in float16: half the size, and faster on GPUs')
    parser.add_argument(
        '--pictures',
        type=Path,
        metavar='FOLDER',
        help='compare on these pictures (default: photographs and faces of scikit-image)',
    )
    add_options(parser, 'override settings of the config, e.g. model.head=None for a checkpoint without a head')


def run(args: argparse.Namespace) -> None:
    from askd_mmdet.analysis.networks import ONNX, overridden_config
    from askd_mmdet.training.config import type_name

    if args.out.suffix != ONNX:
        raise ValueError(f'{args.out} should end with {ONNX}')
    try:
        from askd_mmdet.export.exporting import export_detector, export_embedder
    except ModuleNotFoundError as error:
        raise ValueError(f"onnx is not installed ({error}): pip install 'askd_mmdet[onnx]'") from error
    cfg = overridden_config(args.config, args.cfg_options)
    pictures = read_pictures(args.pictures) if args.pictures else []
    if type_name(cfg.get('model', {})) == 'FaceRecognizer':
        from askd_mmdet.recognition.embedder import FaceEmbedder

        if args.nms:
            raise ValueError('--nms is for detectors, and this config is of a recognizer')
        differences = export_embedder(FaceEmbedder(cfg, args.checkpoint, 'cpu'), args.out, pictures, args.fp16)
    else:
        from askd_mmdet.detection.detector import FaceDetector

        detector = FaceDetector(cfg, args.checkpoint, 'cpu', min_score=0)
        differences = export_detector(detector, args.out, args.nms, pictures, args.fp16)
    print(f'{args.out}: {args.out.stat().st_size / 2**20:.1f} MB; largest differences from torch: {differences}')


def read_pictures(folder: Path) -> list:
    from askd_mmdet.training.pictures import find_pictures, read_picture

    names = find_pictures(folder)
    if not names:
        raise FileNotFoundError(f'{folder} holds no picture')
    pictures = []
    for name in names:
        try:
            pictures.append(read_picture(folder / name))
        except (OSError, ValueError) as error:
            print(f'warning: cannot read {folder / name} ({error}), left it out', file=sys.stderr)
    if not pictures:
        raise ValueError(f'{folder}: none of {len(names)} pictures can be read')
    return pictures
