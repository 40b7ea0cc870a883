"""What WIDER FACE's protocol costs: against a plain port of the official evaluator, and as detections grow.

First both score the same detections, 150 for each image. The port does what the official Matlab code does,
loop by loop: over the detections of an image to match them, and over its 1000 thresholds to count them; like
the usual Python ports it computes the overlaps in one go. Targets: 20 times faster, AP equal to 1e-6.
Then ours alone scores more and more detections: the time for one of them should not grow. Times of ours are the
best of three runs. The peak is what tracemalloc sees, without the detections that are handed in.
"""

import argparse
import time
import tracemalloc

import numpy as np

from askd_mmdet.detection.wider_face_protocol import SETTINGS, Faces, WiderFaceScore, load_ground_truth

IMAGES = 3226


def synthetic_ground_truth(rng: np.random.Generator) -> dict[str, Faces]:
    """As many images as the official validation set, 12 faces each, with its long tail."""
    ground_truth = {}
    for i in range(IMAGES):
        count = int(min(rng.lognormal(1.4, 1.5), 700)) + 1
        boxes = np.column_stack([rng.uniform(0, 900, (count, 2)), rng.lognormal(3, 0.8, (count, 2))]).round()
        rarity = rng.random((count, 1))
        ground_truth[f'0--Synthetic/{i}'] = Faces(boxes, rarity < (0.2, 0.35, 0.8))
    return ground_truth


def detect(rng: np.random.Generator, ground_truth: dict[str, Faces], count: int) -> dict[str, tuple]:
    """Boxes and scores of detections that lie on and around faces, the better ones with better scores."""
    detections = {}
    for name, faces in ground_truth.items():
        boxes = faces.boxes[rng.integers(len(faces.boxes), size=count)]
        noise = rng.exponential(0.3, (count, 1))
        size = boxes[:, 2:].mean(1, keepdims=True) + 1
        detections[name] = (
            boxes + noise * size * rng.normal(size=(count, 4)),
            np.exp(-noise[:, 0]) * rng.random(count),
        )
    return detections


def plain_port(ground_truth, detections):
    """AP of each setting, as the definition of the protocol reads."""
    lowest = min(scores.min() for _, scores in detections.values())
    highest = max(scores.max() for _, scores in detections.values())
    results = {}
    for setting, title in enumerate(SETTINGS):
        curve, total = np.zeros((1000, 2)), 0
        for name, faces in ground_truth.items():
            boxes, scores = detections[name]
            order = np.argsort(-scores, kind='stable')
            scores = (scores[order] - lowest) / (highest - lowest)
            counts = faces.kept[:, setting]
            total += counts.sum()
            overlaps = plain_overlaps(boxes[order], faces.boxes)
            found = np.zeros(len(faces.boxes))
            proposal, hits = np.ones(len(boxes)), np.zeros(len(boxes))
            for i in range(len(boxes)):
                face = overlaps[i].argmax()
                if overlaps[i, face] >= 0.5:
                    if not counts[face]:
                        proposal[i] = 0
                    else:
                        found[face] = 1
                hits[i] = len(np.where(found == 1)[0])
            for t in range(1000):
                above = np.where(scores >= 1 - (t + 1) / 1000)[0]
                if len(above):
                    curve[t, 0] += len(np.where(proposal[: above[-1] + 1] == 1)[0])
                    curve[t, 1] += hits[above[-1]]
        precision = np.concatenate([[0], curve[:, 1] / np.maximum(curve[:, 0], 1), [0]])
        recall = np.concatenate([[0], curve[:, 1] / total, [1]])
        for i in range(len(precision) - 1, 0, -1):
            precision[i - 1] = max(precision[i - 1], precision[i])
        steps = np.where(recall[1:] != recall[:-1])[0]
        results[title] = np.sum((recall[steps + 1] - recall[steps]) * precision[steps + 1])
    return results


def plain_overlaps(boxes, faces):
    left, top, width, height = boxes.T[..., None]
    x, y, w, h = faces.T
    inner = np.maximum(np.minimum(left + width, x + w) - np.maximum(left, x) + 1, 0)
    inner = inner * np.maximum(np.minimum(top + height, y + h) - np.maximum(top, y) + 1, 0)
    return inner / ((width + 1) * (height + 1) + (w + 1) * (h + 1) - inner)


def ours(ground_truth, detections):
    score = WiderFaceScore(ground_truth)
    for name, (boxes, scores) in detections.items():
        score.add(name, boxes, scores)
    return score.average_precision()


def timed(function, *arguments):
    start = time.perf_counter()
    result = function(*arguments)
    return result, time.perf_counter() - start


def peak_bytes(function, *arguments):
    tracemalloc.start()
    function(*arguments)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--gt', metavar='FOLDER', help='eval_tools/ground_truth; without it, a synthetic one')
    parser.add_argument(
        '--counts', type=int, nargs='+', default=[150, 300, 600, 1200, 2400], help='detections for each image'
    )
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    ground_truth = load_ground_truth(args.gt) if args.gt else synthetic_ground_truth(rng)
    faces = sum(len(image.boxes) for image in ground_truth.values())
    print(f'{len(ground_truth)} images, {faces} faces, {"real" if args.gt else "synthetic"}\n')

    detections = detect(rng, ground_truth, 150)
    expected, port_seconds = timed(plain_port, ground_truth, detections)
    found, seconds = min((timed(ours, ground_truth, detections) for _ in range(3)), key=lambda run: run[1])
    difference = max(abs(found[setting] - expected[setting]) for setting in SETTINGS)
    print('| at 150 detections an image | seconds |\n|---|---|')
    print(f'| plain port | {port_seconds:.1f} |\n| ours | {seconds:.2f} |')
    print(f'\n{port_seconds / seconds:.0f} times faster; greatest difference of AP {difference:.1e}\n')

    print('| detections an image | seconds | ns a detection | peak bytes a detection |\n|---|---|---|---|')
    for count in args.counts:
        detections = detect(rng, ground_truth, count)
        total = count * len(ground_truth)
        _, seconds = min((timed(ours, ground_truth, detections) for _ in range(3)), key=lambda run: run[1])
        peak = peak_bytes(ours, ground_truth, detections)
        print(f'| {count} | {seconds:.2f} | {1e9 * seconds / total:.0f} | {peak / total:.0f} |', flush=True)


if __name__ == '__main__':
    main()
