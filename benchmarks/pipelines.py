"""What the training pipelines of the A-SKD configs cost over the same steps written by hand.

    OMP_NUM_THREADS=1 python benchmarks/pipelines.py [--tasks CIFAR] [--rounds 200]

From the file, the record or the array of a picture to its packed HR-LR pair, in processor time. By hand means one
function around the same library calls (torchvision's decoder, torch's and OpenCV's interpolation, OpenCV's colours),
with the same draws from NumPy's generator and no transforms. Both give the same tensors in the same data sample, as the
models take them, which is checked at each picture, and take turns.
"""

import argparse
import copy
import math
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import HorizontalBoxes
from mmengine.dataset import Compose
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData
from mmpretrain.structures import DataSample
from skimage import data
from torchvision.io import ImageReadMode, decode_jpeg

from askd_mmdet.training.config import load_config


def decode(content):
    stream = torch.frombuffer(bytearray(content), dtype=torch.uint8)
    return cv2.cvtColor(decode_jpeg(stream, ImageReadMode.RGB).permute(1, 2, 0).numpy(), cv2.COLOR_RGB2BGR)


def degrade(image, ratio):
    height, width = image.shape[:2]
    small = resize(image, (round(height / ratio), round(width / ratio)))
    return resize(cv2.GaussianBlur(small, (5, 5), 0.5), (height, width))


def resize(image, size):
    pixels = torch.from_numpy(image)[None].permute(0, 3, 1, 2)
    return F.interpolate(pixels, size, mode='bicubic', antialias=True)[0].permute(1, 2, 0).numpy()


def to_tensor(image):
    return torch.from_numpy(image).permute(2, 0, 1).contiguous()


def detection(info):
    """A pair with boxes: SquareCrop, ClippedPhotoMetricDistortion, RandomFlip and Resize."""
    hr = decode(Path(info['img_path']).read_bytes())
    boxes = np.float32([face['bbox'] for face in info['instances']])
    labels = np.array([face['bbox_label'] for face in info['instances']])
    ignored = np.array([face['ignore_flag'] for face in info['instances']], bool)
    lr = degrade(hr, 16)

    size = np.array(hr.shape[1::-1])
    side = round(np.random.choice((0.3, 0.45, 0.6, 0.8, 1.0)) * size.min())
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    corners = np.random.randint(0, size - side + 1, (250, 2))
    inside = ((corners[:, None] <= centres) & (centres < corners[:, None] + side)).all(-1) & ~ignored
    inside[-1, 0] |= not inside.any()
    place = inside.any(1).argmax()
    left, top = corners[place]
    keep = ((corners[place] <= centres) & (centres < corners[place] + side)).all(-1)
    boxes = (boxes[keep] - np.float32([left, top, left, top])).clip(0, side)

    distorted = np.random.rand() < 0.5
    if distorted:
        flags = [np.random.randint(2) for _ in range(6)]
        amounts = [np.random.uniform(*bounds) for bounds in ((-32, 32), (0.5, 1.5), (0.5, 1.5), (-18, 18))]
        order = np.random.permutation(3)
    flip = np.random.rand() < 0.5
    if flip:
        boxes[:, [0, 2]] = side - boxes[:, [2, 0]]
    boxes = (boxes * np.float32(640 / side)).clip(0, 640)

    pair = []
    for image in (lr, hr):
        image = image[top : top + side, left : left + side].astype(np.float32)
        if distorted:
            image = distort(image, *flags, *amounts, order)
        if flip:
            image = cv2.flip(image, 1)
        pair.append(to_tensor(cv2.resize(image, (640, 640))))
    sample = DetDataSample(
        metainfo=dict(
            img_id=info['img_id'],
            img_path=info['img_path'],
            ori_shape=hr.shape[:2],
            img_shape=(640, 640),
            scale_factor=(640 / side, 640 / side),
            flip=flip,
            flip_direction='horizontal' if flip else None,
        )
    )
    labels, ignored = labels[keep], ignored[keep]
    sample.gt_instances, sample.ignored_instances = (
        InstanceData(bboxes=HorizontalBoxes(boxes[part]), labels=torch.from_numpy(labels[part]))
        for part in (~ignored, ignored)
    )
    return dict(inputs=pair[0], hr_inputs=pair[1], data_samples=sample)


def distort(image, contrast_first, brighten, contrast, saturate, turn, swap, delta, alpha, saturation, degrees, order):
    if brighten:
        image += delta
        np.clip(image, 0, 255, out=image)
    if contrast and contrast_first:
        image *= alpha
        np.clip(image, 0, 255, out=image)
    if saturate or turn:
        hsv = cv2.cvtColor(image, cv2.COLOR_BGR2HSV)
        if saturate:
            hsv[..., 1] *= saturation
        if turn:
            hsv[..., 0] = (hsv[..., 0] + degrees) % 360
        image = cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)
        np.clip(image, 0, 255, out=image)
    if contrast and not contrast_first:
        image *= alpha
        np.clip(image, 0, 255, out=image)
    return image[..., order] if swap else image


def recognition(info):
    """A pair with a label: RandomFlip."""
    hr = decode(info['img_bytes'])
    flip = np.random.rand() < 0.5
    if flip:
        hr = cv2.flip(hr, 1)
    return labelled(degrade(hr, 4), hr, info, hr.shape[:2], hr.shape[:2], flip)


def imagenet(info):
    """A pair with a label: RandomResizedCrop and RandomFlip."""
    image = decode(Path(info['img_path']).read_bytes())
    height, width = image.shape[:2]
    for _ in range(10):
        area = np.random.uniform(0.08, 1) * height * width
        aspect = math.exp(np.random.uniform(math.log(3 / 4), math.log(4 / 3)))
        columns, rows = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < columns <= width and 0 < rows <= height:
            top, left = np.random.randint(height - rows + 1), np.random.randint(width - columns + 1)
            break
    else:
        # Of pictures between 3:4 and 4:3 the whole.
        top, left, rows, columns = 0, 0, height, width
    hr = cv2.resize(image[top : top + rows, left : left + columns], (224, 224))
    return flipped_pair(hr, degrade(hr, 4), info, (height, width))


def cifar(info):
    """A pair with a label: RandomCrop of a padded picture and RandomFlip."""
    image = cv2.copyMakeBorder(info['img'], 4, 4, 4, 4, cv2.BORDER_CONSTANT, value=0)
    top, left = np.random.randint(9), np.random.randint(9)
    hr = np.ascontiguousarray(image[top : top + 32, left : left + 32])
    return flipped_pair(hr, degrade(hr, 4), info, info['img'].shape[:2])


def flipped_pair(hr, lr, info, ori_shape):
    flip = np.random.rand() < 0.5
    if flip:
        hr, lr = cv2.flip(hr, 1), cv2.flip(lr, 1)
    return labelled(lr, hr, info, ori_shape, hr.shape, flip)


def labelled(lr, hr, info, ori_shape, img_shape, flip):
    sample = DataSample(
        metainfo=dict(
            sample_idx=info['sample_idx'],
            img_path=info['img_path'],
            ori_shape=ori_shape,
            img_shape=img_shape,
            flip=flip,
            flip_direction='horizontal' if flip else None,
        )
    )
    return dict(inputs=to_tensor(lr), hr_inputs=to_tensor(hr), data_samples=sample.set_gt_label(info['gt_label']))


# Task: config, the steps by hand, width and height of the pictures in pixels, ratio at most.
TASKS = {
    'detection': ('detection/tinaface_r50-bn-cbam_widerface-16x_askd.py', detection, (1024, 768), 1.15),
    'recognition': ('recognition/arcface_ir50-cbam_casia-4x_askd.py', recognition, (112, 112), 1.3),
    'ImageNet': ('classification/resnet18-cbam_imagenet-4x_askd-kd.py', imagenet, (500, 375), 1.1),
    'CIFAR': ('classification/resnet18-cbam_cifar10-4x_askd.py', cifar, (32, 32), 1.5),
}


def samples(task, folder, size):
    """What the data set gives the pipeline for some photographs."""
    rng = np.random.default_rng(0)
    for number, name in enumerate(('astronaut', 'chelsea', 'coffee', 'rocket')):
        image = cv2.cvtColor(cv2.resize(getattr(data, name)(), size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2BGR)
        content = cv2.imencode('.jpg', image, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()
        path = Path(folder, f'{task}-{number}.jpg')
        path.write_bytes(content)
        info = dict(img_path=str(path), sample_idx=number)
        if task == 'detection':
            corners = rng.uniform(0, 0.9, (10, 2)) * size
            boxes = np.hstack([corners, corners + rng.uniform(10, 70, (10, 2))]).round()
            instances = [dict(bbox=box, bbox_label=0, ignore_flag=0) for box in boxes.tolist()]
            yield dict(info, img_id=number, instances=instances)
        else:
            extra = {'recognition': dict(img_bytes=content), 'CIFAR': dict(img=image)}
            yield dict(info, gt_label=number, **extra.get(task, {}))


def tensors(packed):
    """The tensors of a packed pair."""
    sample = packed['data_samples']
    parts = [sample.get(name) for name in ('gt_instances', 'ignored_instances') if name in sample]
    annotation = [tensor for part in parts for tensor in (part.bboxes.tensor, part.labels)] or [sample.gt_label]
    return packed['inputs'], packed['hr_inputs'], *annotation


def timed(run, info, seed):
    """Processor milliseconds, and what came out."""
    info = copy.deepcopy(info)
    np.random.seed(seed)
    start = time.process_time()
    result = run(info)
    return 1000 * (time.process_time() - start), result


def measure(task, rounds):
    """Print the medians of both and of their ratio.

    Returns:
        Whether that is as small as it should be.
    """
    config, by_hand, size, at_most = TASKS[task]
    cfg = load_config(f'askd_mmdet::{config}')
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        ours = Compose(cfg.train_dataloader.dataset.pipeline)
    with tempfile.TemporaryDirectory() as folder:
        infos = list(samples(task, folder, size))
        times = []
        for number in range(rounds):
            info = infos[number % len(infos)]
            # Each goes first in turn, for whoever does finds its data in no cache.
            kinds = (ours, by_hand) if number // len(infos) % 2 else (by_hand, ours)
            found = {kind: timed(kind, info, number) for kind in kinds}
            (ours_ms, packed), (hand_ms, expected) = found[ours], found[by_hand]
            for one, other in zip(tensors(packed), tensors(expected), strict=True):
                torch.testing.assert_close(one, other, rtol=0, atol=0)
            assert packed['data_samples'].metainfo == expected['data_samples'].metainfo
            times.append((ours_ms, hand_ms))
    ours_ms, hand_ms = map(median, zip(*times))
    ratio = median(a / b for a, b in times)
    print(
        f'{task}, {size[0]}x{size[1]}, {rounds} pairs: ours {ours_ms:.3f} ms, by hand {hand_ms:.3f} ms, '
        f'{ratio:.2f} times, at most {at_most}',
        flush=True,
    )
    return ratio <= at_most


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--tasks', nargs='+', choices=TASKS, default=list(TASKS), help='(default: all)')
    parser.add_argument('--rounds', type=int, default=400, help='pairs of each kind (default: %(default)s)')
    args = parser.parse_args()
    torch.set_num_threads(1)  # as in a worker
    met = [measure(task, args.rounds) for task in args.tasks]
    sys.exit(0 if all(met) else 'too slow')


if __name__ == '__main__':
    main()
