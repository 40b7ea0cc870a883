"""What identification costs at the size of TinyFace: memory, time, and whether the ranks are right.

    python benchmarks/identification.py

First a piece, a tenth of the probes and of the gallery, next to the plain way: the whole matrix of cosines in float64,
every row of it sorted, and the place of the first mate. The ranks should be equal. Then the full size, in two processes
whose greatest resident memory is printed (with Python and its libraries; target: below 4 GB):
`identification_ranks` with the gallery in a file, and IdentificationMetric from the embeddings in batches to the rates.
Features are synthetic: float32, noisy people among strangers. The metric gets each of them twice, as the halves that it
adds up, of a picture and of its mirror image.
"""

import argparse
import multiprocessing
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from mmengine.evaluator import Evaluator

from askd_mmdet.recognition.identification import identification_ranks
from askd_mmdet.recognition.identification_metric import IdentificationMetric

BATCH = 128


def make_labels(probes: int, gallery: int) -> np.ndarray:
    """Labels of the probes, then of the gallery: 1.2 mates for each probe, as in TinyFace; -100 for the distractors."""
    mates = min(gallery, probes * 6 // 5)
    return np.concatenate([np.arange(probes), np.arange(mates) % probes, np.full(gallery - mates, -100)])


def batches(labels: np.ndarray, width: int):
    """Features (N, D) for the labels, batch by batch, always the same."""
    people = np.random.default_rng(0).normal(size=(labels.max() + 1, width)).astype(np.float32)
    noise = np.float32(0.48 * width**0.25)  # so much that about half of the probes are found at rank 1
    for start in range(0, len(labels), BATCH):
        own = labels[start : start + BATCH]
        features = noise * np.random.default_rng(start + 1).normal(size=(len(own), width)).astype(np.float32)
        features[own >= 0] += people[own[own >= 0]]
        yield features


def plain_ranks(probes, probe_labels, gallery, gallery_labels):
    a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (probes.astype(float), gallery.astype(float)))
    order = np.argsort(-(a @ b.T), axis=1)
    return (gallery_labels[order] == probe_labels[:, None]).argmax(1) + 1


def ranks_from_file(path, probes, labels, width):
    features = np.memmap(path, np.float32, 'r', shape=(len(labels), width))
    start = time.perf_counter()
    ranks = identification_ranks(features[:probes], labels[:probes], features[probes:], labels[probes:])
    return np.mean(ranks == 1), time.perf_counter() - start


def rates_of_metric(path, probes, labels, width):
    evaluator = Evaluator(IdentificationMetric())
    evaluator.dataset_meta = dict(labels=labels, is_probe=np.arange(len(labels)) < probes)
    index = 0
    for features in batches(labels, width):
        samples = [
            dict(sample_idx=index + i, embedding=row) for i, row in enumerate(torch.from_numpy(features).repeat(1, 2))
        ]
        evaluator.process(samples)
        index += len(samples)
    start = time.perf_counter()
    return evaluator.evaluate(len(labels))['identification/rank@1'] / 100, time.perf_counter() - start


def measured(function, *arguments):
    """What the function returns, and the greatest resident memory of this process in bytes."""
    result = function(*arguments)
    # getrusage would count the process that started this one, were that greater.
    peak = Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0]
    return *result, 1024 * int(peak)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--probes', type=int, default=3700, help='how many (default: 3700, as in TinyFace)')
    parser.add_argument('--gallery', type=int, default=157000, help='its faces (default: 157000, as in TinyFace)')
    parser.add_argument('--width', type=int, default=512, help='numbers of a feature (default: 512)')
    args = parser.parse_args()
    if min(args.probes, args.gallery) < 10 or args.gallery < 2 * args.probes or args.width < 1:
        parser.error(
            f'found {args.probes} probes and {args.gallery} gallery faces of {args.width} numbers, '
            'expected 10 probes or more, twice as many gallery faces or more, and 1 number or more'
        )

    probes, gallery = args.probes // 10, args.gallery // 10
    labels = make_labels(probes, gallery)
    features = np.concatenate(list(batches(labels, args.width)))
    piece = features[:probes], labels[:probes], features[probes:], labels[probes:]
    start = time.perf_counter()
    expected = plain_ranks(*piece)
    plain_seconds = time.perf_counter() - start
    start = time.perf_counter()
    ranks = identification_ranks(*piece)
    seconds = time.perf_counter() - start
    print(f'{probes} probes, {gallery} gallery faces of {args.width} numbers, {np.mean(ranks == 1):.1%} at rank 1\n')
    print(f'| | seconds |\n|---|---|\n| plain: sorted matrix | {plain_seconds:.2f} |\n| ours | {seconds:.2f} |')
    print(f'\n{np.count_nonzero(ranks != expected)} of {probes} ranks differ\n')
    del features, piece

    labels = make_labels(args.probes, args.gallery)
    print(f'{args.probes} probes, {args.gallery} gallery faces of {args.width} numbers\n')
    print('| | rank 1 | seconds | greatest memory, GB |\n|---|---|---|---|')
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, 'features')
        with path.open('wb') as file:
            for features in batches(labels, args.width):
                features.tofile(file)
        for name, function in (('identification_ranks', ranks_from_file), ('IdentificationMetric', rates_of_metric)):
            # Spawned, as a forked process would begin with this one's memory.
            with multiprocessing.get_context('spawn').Pool(1) as pool:
                rate, seconds, peak = pool.apply(measured, (function, path, args.probes, labels, args.width))
            print(f'| {name} | {rate:.1%} | {seconds:.1f} | {peak / 1e9:.2f} |', flush=True)


if __name__ == '__main__':
    main()
