"""Score the WIDER FACE submission of any detector: AP on the easy, medium and hard faces, without Matlab."""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track

from askd_mmdet.detection.submission import LAYOUT, iterate_submission, read_detections
from askd_mmdet.detection.submission_hint import BEST, submission_hint
from askd_mmdet.detection.wider_face_protocol import WiderFaceScore, load_ground_truth
from askd_mmdet.training.files import replace_text


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog=f'A submission lies as\n\n{LAYOUT}\n\n'
        'with the lines: name of the image, number of detections, and for each of them "x y width height\n'
        'score" (pixels; any finite scores, which are stretched to [0, 1] over all images). "python\n'
        'tools/test.py ... --submission-dir SUBMISSION" writes one. Images without a file count as images\n'
        'without detections. Boxes that seem to be normalised, corners or of resized pictures get a hint beside\n'
        'their AP. The exit status is 0, or 2 when something is wrong.',
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('submission', type=Path, help='folder of the submission')
    parser.add_argument(
        '--gt',
        type=Path,
        required=True,
        metavar='FOLDER',
        help='eval_tools/ground_truth of the WIDER FACE download, with wider_{face,easy,medium,hard}_val.mat',
    )
    parser.add_argument('--json', type=Path, metavar='FILE', help='also write the numbers to FILE (AP in [0, 1])')
    parser.add_argument(
        '--ignore-unknown', action='store_true', help='leave out files of images that the ground truth does not have'
    )
    return parser


def first_names(names: list[str]) -> str:
    return ', '.join(names[:5]) + (', ...' if len(names) > 5 else '')


def evaluate(submission: Path, ground_truth: Path, ignore_unknown: bool) -> dict:
    """AP of a submission in [0, 1], a hint or None, and what was scored; the arguments are the command line's."""
    score = WiderFaceScore(load_ground_truth(ground_truth))
    files = dict(iterate_submission(submission))
    unknown = [name for name in files if name not in score.ground_truth]
    if unknown and not ignore_unknown:
        raise ValueError(
            f'{submission} has {len(unknown)} files of images that {ground_truth} does not have: '
            f'{first_names(unknown)}; check that both are of one split, or leave them out by --ignore-unknown'
        )
    known = [name for name in files if name in score.ground_truth]
    best = {}
    for name in track(known, 'scoring', console=Console(stderr=True)):
        boxes, scores = read_detections(files[name])
        score.add(name, boxes, scores)
        chosen = np.argsort(-scores, kind='stable')[:BEST]
        best[name] = boxes[chosen], scores[chosen]
    return dict(
        score.average_precision(),
        hint=submission_hint(best, score.ground_truth),
        images=len(known),
        detections=sum(len(matches.scores) for matches in score.images.values()),
        missing=score.missing,
        unknown=unknown,
    )


def main(arguments: list[str] | None = None) -> int:
    parser = make_parser()
    args = parser.parse_args(arguments)
    try:
        result = evaluate(args.submission, args.gt, args.ignore_unknown)
        if args.json:
            replace_text(args.json, json.dumps(result, indent=2) + '\n')
    except (OSError, ValueError) as error:
        print(f'{parser.prog}: error: {error}', file=sys.stderr)
        return 2

    for state, names in (('have no file and count as missed', result['missing']), ('left out', result['unknown'])):
        if names:
            print(f'warning: {len(names)} images {state}: {first_names(names)}', file=sys.stderr)
    print(f'{result["images"]} images, {result["detections"]} detections\n')
    print('| easy | medium | hard |\n|---|---|---|')
    print(f'| {100 * result["easy"]:.2f} | {100 * result["medium"]:.2f} | {100 * result["hard"]:.2f} |')
    print('\nAP in %')
    if result['hint']:
        print(f'\nhint: {result["hint"]}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
