"""Make a small face recognition set from pictures that come with scikit-image, without a download."""

from askd_mmdet.toy import make_face_identities
from askd_mmdet.toy.folder import make_parser, run_tool


def main() -> None:
    parser = make_parser(make_face_identities, __doc__)
    for option, help_text in (
        ('train-identities', 'persons to train on'),
        ('train-pictures', 'training pictures of each person'),
        ('validation-identities', 'other persons, whom the pairs, the probes and the gallery show'),
        ('pairs', 'verification pairs, a multiple of 20; half of them show one person'),
        ('probes', 'pictures to identify'),
        ('gallery', 'pictures of the same persons to find'),
        ('distractors', 'pictures of other persons, not to be found'),
        ('size', 'height and width of the pictures, in pixels'),
        ('seed', 'another number, other persons'),
    ):
        parser.add_argument(f'--{option}', type=int, metavar='N', help=help_text)
    root, counts = run_tool(make_face_identities, parser)
    print(f'{root}:')
    print(f'  train: {counts["train_images"]} images of {counts["train_identities"]} identities')
    print(f'  verification: {counts["pairs"]} pairs of {counts["validation_identities"]} other identities')
    print(
        f'  identification: {counts["probes"]} probes, {counts["gallery"]} gallery images, '
        f'{counts["distractors"]} distractors'
    )


if __name__ == '__main__':
    main()
