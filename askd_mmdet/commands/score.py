"""Score the WIDER FACE submission of any detector: AP on the easy, medium and hard faces, in %, without Matlab."""

import argparse
from pathlib import Path

from askd_mmdet.arguments import new_file

EPILOG = """A submission lies as

<submission>/
  0--Parade/
    0_Parade_marchingband_1_465.txt
    ...
  1--Handshaking/
    ...

with the lines: name of the image, number of detections, and for each of them "x y width height score" (pixels; any
finite scores, which are stretched to [0, 1] over all images). "askd test ... --submission-dir SUBMISSION" writes one.
Images without a file count as images without detections. Boxes that seem to be normalised, corners or of resized
pictures get a hint beside their AP.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('submission', type=Path, help='folder of the submission')
    parser.add_argument(
        '--gt',
        type=Path,
        required=True,
        metavar='FOLDER',
        help='eval_tools/ground_truth of the WIDER FACE download, with wider_{face,easy,medium,hard}_val.mat',
    )
    parser.add_argument('--json', type=new_file, metavar='FILE', help='also write the numbers to FILE')
    parser.add_argument(
        '--ignore-unknown', action='store_true', help='leave out files of images that the ground truth does not have'
    )


def run(args: argparse.Namespace) -> None:
    import json
    import sys

    from askd_mmdet.detection.scoring import score_submission
    from askd_mmdet.training.files import first_names, replace_text

    result = score_submission(args.submission, args.gt, args.ignore_unknown)
    if args.json:
        replace_text(args.json, json.dumps(result, indent=2) + '\n')
    for state, names in (('have no file and count as missed', result['missing']), ('left out', result['unknown'])):
        if names:
            print(f'warning: {len(names)} images {state}: {first_names(names)}', file=sys.stderr)
    print(f'{result["images"]} images, {result["detections"]} detections\n')
    print('| easy | medium | hard |\n|---|---|---|')
    print(f'| {result["easy"]:.2f} | {result["medium"]:.2f} | {result["hard"]:.2f} |')
    print('\nAP in %')
    if result['hint']:
        print(f'\nhint: {result["hint"]}')
