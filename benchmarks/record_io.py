"""What reading insightface's records directly costs: against the same JPEGs as files in class folders.

    python benchmarks/record_io.py

Both give the pictures in the same random order to the same decoder, by way of the data sets that training uses; they
are timed in turn, a thousand pictures at a time, so that a busy machine slows both. Everything lies in the page cache:
a disk would be kinder to one large file than to many small ones. Target: at least as fast. Then the time to open many
records, which is the wait before training begins. The pictures are crops of a real one, 112x112, quality 95.
"""

import argparse
import multiprocessing
import tempfile
import time
from pathlib import Path
from statistics import median

import cv2
import numpy as np
from rich.progress import track
from skimage import data

from askd_mmdet.recognition.datasets import FaceFolderDataset, FaceRecordDataset
from askd_mmdet.recognition.record_io import RecordFile
from askd_mmdet.toy.identities import write_records
from askd_mmdet.training import LoadPicture

SIDE = 112
PICTURES_OF_ONE = 50


def make_pictures(count: int) -> list[bytes]:
    """JPEGs of crops of a real picture."""
    photograph = data.astronaut()[..., ::-1]
    corners = np.random.default_rng(0).integers(0, len(photograph) - SIDE, (count, 2))
    quality = [cv2.IMWRITE_JPEG_QUALITY, 95]
    return [
        cv2.imencode('.jpg', photograph[y : y + SIDE, x : x + SIDE], quality)[1].tobytes()
        for y, x in track(corners.tolist(), 'encoding')
    ]


def write_folders(root: Path, jpegs: list[bytes], labels: np.ndarray) -> None:
    for i, (jpeg, label) in enumerate(zip(jpegs, labels.tolist())):
        path = root / f'{label:06d}' / f'{i:08d}.jpg'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg)


def seconds(function, *arguments) -> float:
    start = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - start


def greatest_memory() -> float:
    """Of this process so far, in MB; getrusage would give that of the process which started it, were that greater."""
    status = Path('/proc/self/status').read_text()
    return int(status.split('VmHWM:')[1].split()[0]) / 1024


def open_records(path: Path) -> tuple[np.ndarray, float, float]:
    """The labels in a record file, the time to open it in seconds, and by how many MB it raised the greatest memory."""
    before = greatest_memory()
    start = time.perf_counter()
    labels = RecordFile(path).labels
    return labels, time.perf_counter() - start, greatest_memory() - before


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--pictures', type=int, default=10_000, help='how many to decode (default: 10000)')
    parser.add_argument('--records', type=int, default=500_000, help='how many to open (default: 500000, as CASIA)')
    args = parser.parse_args()
    if args.pictures < 1000 or args.records < 1:
        parser.error(f'found {args.pictures} pictures and {args.records} records, expected 1000 and 1 or more')

    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        jpegs, labels = make_pictures(args.pictures), np.arange(args.pictures) // PICTURES_OF_ONE
        write_records(folder / 'train', jpegs, labels)
        write_folders(folder / 'folders', jpegs, labels)
        pipeline = [LoadPicture()]
        sources = (
            FaceFolderDataset(str(folder / 'folders'), pipeline=pipeline),
            FaceRecordDataset(str(folder / 'train.rec'), pipeline=pipeline),
        )
        order = np.random.default_rng(1).permutation(args.pictures)
        for i in track(order[:1000].tolist(), 'comparing'):
            first, second = (source[i] for source in sources)
            assert (first['img'] == second['img']).all() and first['gt_label'] == second['gt_label']

        def decode(source, chosen):
            for i in chosen:
                source[i]

        pieces = np.array_split(order, args.pictures // 1000)
        times = [[seconds(decode, source, piece.tolist()) for source in sources] for piece in track(pieces, 'reading')]
        of_folders, of_records = (1e6 * median(column) / len(pieces[0]) for column in zip(*times))
        print(f'{args.pictures} JPEGs of {SIDE}x{SIDE}, {np.mean([*map(len, jpegs)]):.0f} bytes on average\n')
        print('| | microseconds a picture |\n|---|---|')
        print(f'| class folders | {of_folders:.0f} |\n| records | {of_records:.0f} |')
        print(f'\nrecords: {of_folders / of_records:.2f} times as fast as class folders\n')

        labels = np.arange(args.records) // PICTURES_OF_ONE
        write_records(folder / 'many', [bytes(100)] * args.records, labels)
        # Spawned, as writing the records took more memory than opening them will.
        with multiprocessing.get_context('spawn').Pool(1) as pool:
            found, opening, megabytes = pool.apply(open_records, (folder / 'many.rec',))
        assert (found == labels).all()
        print(f'{args.records} records opened in {opening:.2f} s; greatest memory {megabytes:.0f} MB more than before')


if __name__ == '__main__':
    main()
