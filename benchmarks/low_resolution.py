"""What the degradation costs beyond the three library calls it needs (target: 1.3 times).

    python benchmarks/low_resolution.py

A uint8 colour image of 1024 x 768, as WIDER FACE has them. The bare calls are torch's antialiased
bicubic down, OpenCV's Gaussian blur and torch's bicubic up, each on data that already lies in the
fastest layout. All are timed in turn, so that a busy machine slows all. The recipe of cameras, which draws its
steps, is compared by its mean with that of the paper; it may take twice as long.
"""

from statistics import mean, median
from time import process_time
from timeit import timeit

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from skimage import data

from askd_mmdet.degradation import low_resolution

WIDTH, HEIGHT = 1024, 768
ROUNDS = 300


def bare_calls(image, ratio):
    bicubic = dict(mode='bicubic', antialias=True)
    hr = torch.from_numpy(image)[None].permute(0, 3, 1, 2)
    lr = F.interpolate(hr, (HEIGHT // ratio, WIDTH // ratio), **bicubic)
    small = lr[0].permute(1, 2, 0).numpy()

    def run():
        F.interpolate(hr, lr.shape[2:], **bicubic)
        cv2.GaussianBlur(small, (5, 5), 0.5)
        F.interpolate(lr, (HEIGHT, WIDTH), **bicubic)

    return run


def main():
    image = cv2.resize(data.astronaut(), (WIDTH, HEIGHT))
    print(f'{WIDTH}x{HEIGHT} uint8 colour, {torch.get_num_threads()} threads, {ROUNDS} rounds')
    for ratio in (2, 4, 16):
        bare = bare_calls(image, ratio)
        rng = np.random.default_rng(0)
        calls = (
            bare,
            lambda r=ratio: low_resolution(image, r),
            lambda r=ratio, rng=rng: low_resolution(image, r, recipe='camera', rng=rng),
        )
        times = [[timeit(call, number=1, timer=process_time) for call in calls] for _ in range(ROUNDS)]
        bare_ms, ours_ms, _ = (1000 * median(column) for column in zip(*times))
        _, paper_ms, camera_ms = (1000 * mean(column) for column in zip(*times))
        print(
            f'ratio {ratio:2}: bare calls {bare_ms:.2f} ms, low_resolution {ours_ms:.2f} ms, '
            f'{ours_ms / bare_ms:.2f} times'
        )
        print(f"          recipe 'camera' {camera_ms:.2f} ms on average, {camera_ms / paper_ms:.2f} times the paper's")


if __name__ == '__main__':
    main()
