"""How alignment by landmarks frames a face, beside the face's box: what `align_box` goes by.

    python benchmarks/box_crop.py [wider_face_val_bbx_gt.txt WIDER_val/images]

Takes the clear, upright faces of WIDER FACE, of at least 40 pixels, lets MTCNN find their landmarks, and prints medians
over them: the side of the square that `align` cuts out, as a multiple of the square root of the box's area, and how far
its middle lies above the box's, as a share of the height. It ends at once where data or MTCNN are missing.
"""

import argparse
from pathlib import Path

import numpy as np

from askd_mmdet.detection.wider_face_dataset import read_annotations
from askd_mmdet.recognition.alignment import BOX_RISE, BOX_SIDE, TEMPLATE_SIZE, alignment_matrix
from askd_mmdet.recognition.cropping import landmark_finder
from askd_mmdet.training.pictures import read_picture

SMALLEST = 40
BLUR, INVALID, OCCLUSION, POSE = 0, 3, 4, 5  # attributes of a face


def frame(landmarks: np.ndarray, box: np.ndarray) -> tuple[float, float]:
    """Side and rise of the square of five landmarks, beside a box x, y, width, height."""
    matrix = alignment_matrix(landmarks)
    middle = np.linalg.solve(matrix[:, :2], TEMPLATE_SIZE / 2 - matrix[:, 2])
    side = TEMPLATE_SIZE / np.hypot(*matrix[:, 0])
    return side / np.sqrt(box[2] * box[3]), (box[1] + box[3] / 2 - middle[1]) / box[3]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    folder = Path('data/wider_face')
    parser.add_argument(
        'annotation', type=Path, nargs='?', default=folder / 'wider_face_split/wider_face_val_bbx_gt.txt'
    )
    parser.add_argument('images', type=Path, nargs='?', default=folder / 'WIDER_val/images')
    args = parser.parse_args()
    if not args.annotation.is_file():
        print(f'box_crop: no {args.annotation}, nothing measured')
        return
    try:
        find = landmark_finder()
    except ModuleNotFoundError as error:
        print(f'box_crop: MTCNN is not installed ({error}), nothing measured')
        return
    tried, frames = 0, []
    for name, boxes, attributes in read_annotations(args.annotation):
        chosen = (boxes[:, 3] >= SMALLEST) & (attributes[:, [BLUR, INVALID, OCCLUSION, POSE]] == 0).all(1)
        if chosen.any():
            image = read_picture(args.images / name)
            for box in boxes[chosen]:
                tried += 1
                landmarks = find(image, np.concatenate([box[:2], box[:2] + box[2:]]))
                frames += [] if landmarks is None else [frame(landmarks, box)]
    low, (side, rise), high = np.quantile(frames, (0.1, 0.5, 0.9), axis=0)
    print(
        f'{len(frames)} of {tried} faces with landmarks; median (10 % and 90 % of the faces), and what align_box takes'
    )
    print(f'side: {side:.2f} ({low[0]:.2f}, {high[0]:.2f}), {BOX_SIDE} times the root of the area')
    print(f'rise: {rise:.2f} ({low[1]:.2f}, {high[1]:.2f}), {BOX_RISE} of the height')


if __name__ == '__main__':
    main()
