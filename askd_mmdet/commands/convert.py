"""Convert what other codes write.

Checkpoints of the authors' recogniser (teaching-where-to-look) and of vedadet's TinaFace, to ours or back with --back,
and detections in COCO's format, as MMDetection, ultralytics and many others write them, to a WIDER FACE submission:

  askd convert authors last_net.ckpt teacher.pth --margin last_margin.ckpt --train-list train.list
  askd convert vedadet tinaface_r50_fpn_bn.pth start.pth --with-cbam
  askd convert coco predictions.json wider_face_split/wider_face_val_bbx_gt.txt submission
"""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    codes = parser.add_subparsers(dest='code', required=True, metavar='CODE')
    authors = codes.add_parser('authors', help="the authors' recogniser: *_net.ckpt and *_margin.ckpt")
    authors.set_defaults(convert=convert_authors)
    vedadet = codes.add_parser('vedadet', help='TinaFace of vedadet, with batch norm or with group norm and DCN')
    vedadet.set_defaults(convert=convert_vedadet)
    coco = codes.add_parser('coco', help='detections in the format of COCO results, for askd score')
    coco.set_defaults(convert=convert_coco)
    for command in (authors, vedadet):
        command.add_argument('source', type=Path, help='checkpoint to read: theirs, or with --back ours')
        command.add_argument('target', type=Path, help='file to write')
        command.add_argument('--back', action='store_true', help='from ours to theirs')
    authors.add_argument(
        '--margin', type=Path, help="*_margin.ckpt, the ArcFace head's weights: read, or with --back written"
    )
    authors.add_argument(
        '--train-list',
        type=Path,
        help='their train.list, which says the order of their classes: the rows of the margin are put in our order, '
        'that of train.rec and of sorted folders, or with --back in theirs',
    )
    vedadet.add_argument(
        '--with-cbam', action='store_true', help='add CBAM that changes nothing yet: a start for a teacher or base'
    )
    coco.add_argument(
        'source',
        type=Path,
        help='list of {"image_id": ..., "bbox": [x, y, width, height], "score": ..., "category_id": ...}; an image_id '
        "is a picture's name, with or without ending and folders, or its number in ANNOTATION from 0",
    )
    coco.add_argument('annotation', type=Path, help='wider_face_val_bbx_gt.txt, which has the names of the pictures')
    coco.add_argument('target', type=Path, help='folder of the submission, new or empty')
    coco.add_argument(
        '--ids',
        type=Path,
        metavar='FILE',
        help='the COCO annotation, with ids and file names, whose ids the image_ids are',
    )
    coco.add_argument(
        '--category',
        type=int,
        nargs='+',
        metavar='N',
        help='the category_ids that mean a face (needed where there are several)',
    )


def run(args: argparse.Namespace) -> None:
    args.convert(args)


def convert_authors(args: argparse.Namespace) -> None:
    from askd_mmdet.recognition.authors import from_authors, read_train_list, to_authors
    from askd_mmdet.training import read_checkpoint

    if args.train_list and not args.margin:
        raise ValueError('--train-list orders the rows of the margin; name its file with --margin')
    source = str(args.source)
    identities = read_train_list(args.train_list) if args.train_list else None
    if args.back:
        net, margin = to_authors(read_checkpoint(args.source), identities, source)
        save(net, args.target)
        if margin and args.margin:
            save(margin, args.margin)
        elif margin:
            print('left out the weights of the head; name a file for them with --margin')
        elif args.margin:
            print(f'{source} has no head: wrote no {args.margin}')
        return
    margin = read_checkpoint(args.margin) if args.margin else None
    checkpoint = from_authors(read_checkpoint(args.source), margin, identities, source)
    save(checkpoint, args.target)
    if not margin:
        print('without a head (no --margin): set model.head=None in the config')
        return
    print(f'set model.head.num_classes={len(checkpoint["state_dict"]["head.norm_product.weight"])} in the config')
    if not identities:
        print('its rows are in the order of the authors; losses on logits and inherit=[head] need ours: --train-list')


def convert_vedadet(args: argparse.Namespace) -> None:
    import torch

    import askd_mmdet.detection  # noqa: F401, registers what the config names
    from askd_mmdet.detection.vedadet import from_vedadet, to_vedadet, variant_of
    from askd_mmdet.training import build_model, read_checkpoint
    from askd_mmdet.training.config import load_config

    if args.with_cbam and args.back:
        raise ValueError('--with-cbam is no option of --back, since the network of vedadet has no CBAM')
    source = str(args.source)
    checkpoint = read_checkpoint(args.source)
    variant = variant_of(checkpoint, source)
    if args.with_cbam:
        variant = f'{variant.removesuffix("-cbam")}-cbam'
    config = f'askd_mmdet::detection/tinaface_r50-{variant}_widerface.py'
    torch.manual_seed(0)  # for the first layer of the channel attention
    network = build_model(load_config(config))
    if args.back:
        save(to_vedadet(checkpoint, network, source), args.target)
    else:
        save(dict(state_dict=from_vedadet(checkpoint, network, source)), args.target)
        print(f'it belongs to {config}')


def convert_coco(args: argparse.Namespace) -> None:
    from askd_mmdet.detection.coco_results import coco_to_submission

    counts = coco_to_submission(args.source, args.annotation, args.target, args.ids, args.category)
    print('{target}: {images} pictures, {detections} detections'.format(target=args.target, **counts))
    if counts['left_out']:
        print(f'left out {counts["left_out"]} detections of other categories')
    if counts['numbers']:
        print(f'took {counts["numbers"]} image_ids as numbers of the pictures in {args.annotation}, from 0')


def save(content: dict, path: Path) -> None:
    """Write a file that is complete or not there."""
    import torch

    from askd_mmdet.training.files import part_of

    with part_of(path) as part:
        torch.save(content, part)
    print(f'wrote {path}')
