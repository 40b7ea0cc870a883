"""Processor time and memory that the test of a picture of 1650x1100 takes with an untrained TinaFace, its worst case.

    OMP_NUM_THREADS=1 python benchmarks/full_size.py [--uncapped]

All of 450,000 anchors score above the threshold, and NMS gets the best 100,000 (`test_cfg.max_candidates`). With
`--uncapped` it gets all of them as well, which takes minutes, and what the bound has kept must be the beginning of what
is kept then.
"""

import argparse
import resource
import sys
import time

import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmengine.registry import DefaultScope

from askd_mmdet.training import build_model
from askd_mmdet.training.config import load_config

WIDTH, HEIGHT = 1650, 1100


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--uncapped', action='store_true', help='also without the bound')
    args = parser.parse_args()
    cfg = load_config('askd_mmdet::detection/tinaface_r50-bn-cbam_widerface.py')
    torch.manual_seed(0)
    cfg.model.backbone.init_cfg = None
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = build_model(cfg).eval()
        model.init_weights()
    size = (HEIGHT, WIDTH)
    sample = DetDataSample(metainfo=dict(img_shape=size, ori_shape=size, scale_factor=(1.0, 1.0)))
    batch = dict(inputs=[torch.randint(0, 256, (3, HEIGHT, WIDTH), dtype=torch.uint8)], data_samples=[sample])
    head = model.bbox_head
    with torch.no_grad():
        data = model.data_preprocessor(batch, False)
        start = time.process_time()
        maps = head(model.extract_feat(data['inputs']))
        network = time.process_time() - start

        def choose():
            start = time.process_time()
            (found,) = head.predict_by_feat(*maps, batch_img_metas=[data['data_samples'][0].metainfo])
            return found.scores.numpy(), time.process_time() - start

        bounded, seconds = choose()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(
            f'network {network:.1f} s, the rest {seconds:.1f} s, {seconds / network:.2f} times, {peak:.2f} GiB at most'
        )
        if args.uncapped:
            head.test_cfg.max_candidates = 10**9
            everything, uncapped = choose()
            print(f'the rest without a bound {uncapped:.1f} s, {uncapped / seconds:.1f} times', flush=True)
            if not np.array_equal(bounded, everything[: len(bounded)]):
                sys.exit('the bound has changed what is kept')


if __name__ == '__main__':
    main()
