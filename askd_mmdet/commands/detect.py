"""Find faces in pictures and videos, as they are: frame them, cut them out or hide them, and write where they are.

SOURCE is a picture, a video, a folder (all below it), a pattern ('photos/**/*.jpg'), the number of a camera, or the
address of a stream ('rtsp://user:password@host/path'). Pictures and videos with framed faces, or hidden ones, go into
--out, in the subfolders in which they lay, beside detections.jsonl, which gets a line for each as soon as it is done.
Called again, it goes on with what is missing. Pictures come first, then videos one after the other; what is live is
recorded until Ctrl-C, which goes on to the next.

Videos keep their length and rate, not their sound. Neither videos nor pictures keep what else their files told (place,
thumbnail). Where --blur serves privacy, look at what it made: a face that the network misses stays visible. A lower
--score hides more.
"""

import argparse
from pathlib import Path

from askd_mmdet.arguments import add_network, new_file, positive


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_network(
        parser,
        'detection/tinaface_r50-bn-cbam_widerface-16x_askd.py',
        batch_size=1,
        setting='model.test_cfg.min_face_height=4',
    )
    parser.add_argument('source', nargs='+', help='where to look for faces')
    parser.add_argument(
        '--out', type=Path, default=Path('detections'), metavar='FOLDER', help='of the results (default: %(default)s)'
    )
    parser.add_argument('--score', type=float, default=0.3, help='least score of a face, 0 to 1 (default: %(default)s)')
    parser.add_argument(
        '--classes', type=int, nargs='+', help="labels that mean a face, where the network's classes are several"
    )
    parser.add_argument(
        '--tile',
        type=positive,
        metavar='PIXELS',
        help="also look into overlapping tiles of this side, for pictures much larger than the network's input "
        '(TinaFace: 1100)',
    )
    show = parser.add_mutually_exclusive_group()
    show.add_argument('--blur', choices=['pixelate', 'fill'], help='hide faces, and a fifth around, instead of framing')
    show.add_argument('--no-pictures', action='store_true', help='write no pictures and videos')
    parser.add_argument('--crops', type=Path, metavar='FOLDER', help='also write every face as a picture, best first')
    parser.add_argument(
        '--margin',
        type=float,
        default=0.3,
        help='around these, of width and height on each side (default: %(default)s)',
    )
    parser.add_argument('--json', type=new_file, metavar='FILE', help='also write boxes (x1, y1, x2, y2) and scores')
    parser.add_argument('--coco', type=new_file, metavar='FILE', help="also write COCO's results")
    parser.add_argument(
        '--wider-face', type=Path, metavar='FOLDER', help='also write a submission, which askd score takes'
    )


def run(args: argparse.Namespace) -> None:
    import sys
    from functools import partial

    from askd_mmdet.analysis.networks import ONNX, open_detector
    from askd_mmdet.detection.finding import Output, find_faces
    from askd_mmdet.detection.results import Journal, write_coco, write_json, write_submission
    from askd_mmdet.detection.sources import find_sources
    from askd_mmdet.detection.tiling import detect_tiled
    from askd_mmdet.training.settings import check_number

    check_number('askd detect', '--margin', args.margin, at_least=0)
    if args.checkpoint and Path(args.config).suffix == ONNX:  # it is the first of several sources
        args.source.insert(0, args.checkpoint)
        args.checkpoint = None
    sources = find_sources(args.source, [args.out, *filter(None, [args.crops])], partial(print, file=sys.stderr))
    detector = open_detector(
        args.config, args.checkpoint, args.device, args.degrade, args.cfg_options, args.score, args.classes
    )

    def detect(images):
        if not args.tile:
            return detector.detect(images, args.batch_size)
        return [
            detect_tiled(partial(detector.detect, batch_size=args.batch_size), image, args.tile) for image in images
        ]

    show = 'none' if args.no_pictures else args.blur or 'frame'
    crops = args.crops and str(args.crops.resolve())
    settings = {name: getattr(args, name) for name in ('config', 'cfg_options', 'score', 'degrade', 'classes', 'tile')}
    settings |= dict(network=detector.fingerprint, pictures=show, crops=crops, margin=args.margin)
    journal = Journal(args.out, settings)
    missing = journal.missing(sources)
    there = len(sources) - len(missing)
    counts = find_faces(missing, detect, journal, Output(args.out, show, args.crops, args.margin), args.batch_size)
    if not counts.pictures and not there:
        raise ValueError(f'none of the {len(sources)} sources could be read')
    for path, write in ((args.json, write_json), (args.coco, write_coco), (args.wider_face, write_submission)):
        if path:
            write(path, journal.entries())
    print(
        f'{args.out}: {counts.faces} faces in {counts.pictures} pictures or frames; {there} sources were done before, '
        f'{counts.unreadable} could not be read'
    )
