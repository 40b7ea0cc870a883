"""What finding faces in files costs beyond the network itself, and what reading and writing beside it saves.

    OMP_NUM_THREADS=1 python benchmarks/detection.py [--pictures 100] [--frames 200] [--rounds 3]

Pictures: JPEGs of 640x480, read, searched, drawn into and written, against the network alone on the same pixels
(target: at most 1.1 times). The network is TinaFace of ResNet-50, untrained, with an input of 320 pixels, far
below its own 1650, on the CPU.

Video: frames of 1280x720, against a loop that reads, searches, draws and writes one frame after the other (target: 1.3
times as fast). In the place of the network, which on a GPU leaves the processor free, is a sleep: as long as reading,
drawing and writing a frame take. Both are timed in turn, so that a busy machine slows both.
"""

import argparse
import contextlib
import io
import tempfile
import time
from pathlib import Path
from statistics import median

import cv2
import numpy as np
import torch
from skimage import data

from askd_mmdet.detection.detector import Detections, FaceDetector
from askd_mmdet.detection.drawing import draw_faces
from askd_mmdet.detection.finding import Output, find_faces
from askd_mmdet.detection.results import Journal
from askd_mmdet.detection.sources import find_sources
from askd_mmdet.detection.video import open_video, write_video
from askd_mmdet.training import build_model
from askd_mmdet.training.config import load_config

PICTURE, VIDEO = (640, 480), (1280, 720)


def build_detector(folder):
    cfg = load_config('askd_mmdet::detection/tinaface_r50-bn-cbam_widerface.py')
    cfg.test_dataloader.dataset.pipeline[-1].transforms[0].scale = (320, 320)
    torch.manual_seed(0)
    torch.save(build_model(cfg).state_dict(), folder / 'network.pth')
    return FaceDetector(cfg, folder / 'network.pth', 'cpu')


def seconds(run, *arguments):
    start = time.perf_counter()
    run(*arguments)
    return time.perf_counter() - start


def command(detect, source, out):
    with contextlib.redirect_stderr(io.StringIO()):
        find_faces(find_sources([str(source)]), detect, Journal(out, {}), Output(out))


def network_alone(detect, images):
    for image in images:
        detect([image])


def plain_loop(detect, source, out):
    with open_video(source) as video, write_video(out, video.rate, video.size) as writer:
        for frame in video.frames:
            (found,) = detect([frame])
            writer.write(draw_faces(frame, found.boxes, found.scores))


def sleeping(duration):
    """A detector that finds three faces after a while."""
    found = Detections(np.float32([[100, 100, 150, 160], [400, 50, 440, 100], [800, 300, 950, 500]]), np.ones(3))

    def detect(images):
        time.sleep(duration)
        return [found for _ in images]

    return detect


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (('pictures', 100), ('frames', 200), ('rounds', 3)):
        parser.add_argument(f'--{name}', type=int, default=value)
    args = parser.parse_args()
    image, film = (cv2.resize(data.astronaut()[..., ::-1], size) for size in (PICTURE, VIDEO))
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        (folder / 'pictures').mkdir()
        for i in range(args.pictures):
            cv2.imwrite(str(folder / f'pictures/{i:04}.jpg'), image)
        with write_video(folder / 'video.mp4', 25, VIDEO) as writer:
            for i in range(args.frames):
                writer.write(cv2.copyMakeBorder(film[:, i:], 0, 0, 0, i, cv2.BORDER_REPLICATE))

        detect = build_detector(folder).detect
        network_alone(detect, [image])
        times = [
            (
                seconds(network_alone, detect, [image] * args.pictures),
                seconds(command, detect, folder / 'pictures', folder / f'out{i}'),
            )
            for i in range(args.rounds)
        ]
        alone, whole = map(median, zip(*times))
        ratio = median(whole / alone for alone, whole in times)
        print(f'{args.pictures} pictures: network {alone:.2f} s, command {whole:.2f} s, {ratio:.2f} times')

        source = folder / 'video.mp4'
        own = median(seconds(plain_loop, sleeping(0), source, folder / 'own.mp4') for _ in range(args.rounds))
        detect = sleeping(own / args.frames)
        times = [
            (
                seconds(plain_loop, detect, source, folder / f'plain{i}.mp4'),
                seconds(command, detect, source, folder / f'video{i}'),
            )
            for i in range(args.rounds)
        ]
        plain, piped = map(median, zip(*times))
        ratio = median(plain / piped for plain, piped in times)
        print(
            f'{args.frames} frames, {1000 * own / args.frames:.1f} ms each to read, draw and write: plain loop '
            f'{plain:.2f} s, command {piped:.2f} s, {ratio:.2f} times as fast'
        )


if __name__ == '__main__':
    main()
