"""What the LFW protocol costs: against a plain loop over its folds and thresholds, on the same pairs in the same run.

    python benchmarks/verification.py

The plain loop subtracts the mean of nine folds from all features, normalises them, and tries the 20,001 thresholds one
after another, ten times. Targets: 10 times faster; accuracies and thresholds of the folds equal to 1e-9. The time of
ours is the best of three runs. The pairs are synthetic: float32 features of noisy people, of which half are pairs of
one person.
"""

import argparse
import time

import numpy as np

from askd_mmdet.recognition.verification import verify


def make_pairs(count: int, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features of the first and second pictures about a common offset, (N, D) each, and who is the same, (N,)."""
    rng = np.random.default_rng(0)
    same = np.arange(count) // 2 % 2 == 0
    people = rng.normal(size=(count, width))
    others = np.where(same[:, None], people, rng.normal(size=(count, width)))
    # So much that about one pair in ten is told wrong at any width.
    noise = 0.6 * width**0.25
    first, second = ((x + noise * rng.normal(size=x.shape) + 1).astype(np.float32) for x in (people, others))
    return first, second, same


def plain_loop(first, second, same):
    """Accuracy and threshold of each fold, as the definition of the protocol reads."""
    first, second = first.astype(np.float64), second.astype(np.float64)
    thresholds = np.arange(-10000, 10001) / 10000
    parts = np.array_split(np.arange(len(same)), 10)
    accuracies, chosen = [], []
    for i, part in enumerate(parts):
        others = np.concatenate(parts[:i] + parts[i + 1 :])
        mean = np.concatenate([first[others], second[others]]).mean(0)
        a, b = (x - mean for x in (first, second))
        a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (a, b))
        scores = (a * b).sum(1)
        known, truth = scores[others], same[others]
        right = np.array([np.count_nonzero((known > threshold) == truth) for threshold in thresholds])
        chosen.append(thresholds[right == right.max()].mean())
        accuracies.append(((scores[part] > chosen[-1]) == same[part]).mean())
    return np.array(accuracies), np.array(chosen)


def timed(function, *arguments):
    start = time.perf_counter()
    result = function(*arguments)
    return result, time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--pairs', type=int, default=6000, help='how many (default: 6000, as in AgeDB-30)')
    parser.add_argument('--width', type=int, default=1024, help='numbers of a feature (default: 1024)')
    args = parser.parse_args()
    if args.pairs < 20 or args.width < 1:
        parser.error(f'found {args.pairs} pairs of {args.width} numbers, expected 20 or more of 1 or more')

    pairs = make_pairs(args.pairs, args.width)
    (accuracies, thresholds), plain_seconds = timed(plain_loop, *pairs)
    result, seconds = min((timed(verify, *pairs) for _ in range(3)), key=lambda run: run[1])
    difference = max(abs(result.accuracies - accuracies).max(), abs(result.thresholds - thresholds).max())
    print(f'{args.pairs} pairs of {args.width} numbers, accuracy {result.accuracy:.4f} +- {result.std:.4f}\n')
    print(f'| | seconds |\n|---|---|\n| plain loop | {plain_seconds:.2f} |\n| ours | {seconds:.3f} |')
    print(f'\n{plain_seconds / seconds:.0f} times faster; greatest difference {difference:.1e}')


if __name__ == '__main__':
    main()
