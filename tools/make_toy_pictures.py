"""Make a small ImageNet from pictures that come with scikit-image, without a download."""

from askd_mmdet.toy import make_picture_classes
from askd_mmdet.toy.folder import make_parser, run_tool


def main() -> None:
    parser = make_parser(make_picture_classes, __doc__)
    for option, help_text in (
        ('train-pictures', 'training pictures of each class'),
        ('val-pictures', 'validation pictures of each class'),
        ('size', 'height and width of the pictures, in pixels'),
        ('seed', 'another number, other pictures'),
    ):
        parser.add_argument(f'--{option}', type=int, metavar='N', help=help_text)
    root, counts = run_tool(make_picture_classes, parser)
    print(f'{root}:')
    for split in ('train', 'val'):
        print(f'  {split}: {counts[f"{split}_images"]} images of {counts["classes"]} classes')


if __name__ == '__main__':
    main()
