"""Say what face data hold, and which of their pictures are damaged.

PATH is a file of insightface (train.rec beside train.idx, agedb_30.bin), a list of pairs (LFW's pairs.txt, or lines of
two paths and 0 or 1), the folder of TinyFace, or a folder with a folder of pictures for each identity.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import mmcv
import numpy as np
from PIL import UnidentifiedImageError
from rich.console import Console
from rich.progress import track
from torch.utils.data import DataLoader

from askd_mmdet.recognition.bundle import read_bundle
from askd_mmdet.recognition.datasets import DISTRACTOR, FaceFolderDataset, TinyFaceDataset, read_pairs
from askd_mmdet.recognition.record_io import RecordFile

BATCH = 64


@dataclass
class Pictures:
    """Pictures of any source, as a data set of their names, sizes and faults.

    Attributes:
        kind: What the source is, for the report.
        read: Gives the file of picture i.
        names: What the pictures are called.
        labels: Whom they show, int (M,), of the M pictures with an identity; None where the source names none.
        facts: Further lines of the report.
    """

    kind: str
    read: Callable[[int], bytes]
    names: Sequence[str]
    labels: np.ndarray | None = None
    facts: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, i: int) -> tuple[str, tuple[int, int] | None, str]:
        """Name, (width, height) in pixels or None, and what is wrong with the picture."""
        try:
            # The decoder of LoadFaceImage: what fails here fails in training.
            height, width = mmcv.imfrombytes(self.read(i), backend='pillow').shape[:2]
            return self.names[i], (width, height), ''
        except FileNotFoundError:
            return self.names[i], None, 'missing'
        except UnidentifiedImageError:
            return self.names[i], None, 'no picture'
        except Exception as error:  # decoders raise whatever a damaged file makes them run into
            return self.names[i], None, str(error)


def of_files(kind: str, paths: list[str], *others) -> Pictures:
    return Pictures(kind, lambda i: Path(paths[i]).read_bytes(), paths, *others)


def describe_pairs(same: Sequence[bool]) -> str:
    return f'{len(same)} pairs, {sum(same)} of one person'


def recognise(path: Path, folder: Path) -> Pictures:
    """The pictures of a source of any kind; those of a list of pairs lie in `folder`.

    Raises:
        FileNotFoundError, RuntimeError, ValueError: When the source is damaged as a whole.
    """
    if path.suffix == '.rec':
        records = RecordFile(path)
        return Pictures('insightface records', records.read, [f'{path}#{key}' for key in records.keys], records.labels)
    if path.suffix == '.bin':
        files, same = read_bundle(path)
        names = [f'{path}#{i}' for i in range(len(files))]
        return Pictures('verification bundle', files.__getitem__, names, None, [describe_pairs(same)])
    if path.is_file():
        pairs = read_pairs(path)
        names = dict.fromkeys(name for _, *two, _ in pairs for name in two)
        facts = [describe_pairs([same for *_, same in pairs])]
        return of_files('list of pairs', [str(folder / name) for name in names], None, facts)
    if any((path / name).is_dir() for name in ('Probe', 'Gallery_Match')):
        data = TinyFaceDataset(str(path), serialize_data=False)
        labels, is_probe = data.metainfo['labels'], data.metainfo['is_probe']
        known = labels != DISTRACTOR
        mates = known & ~is_probe
        facts = [
            f'{is_probe.sum()} probes, {mates.sum()} mates, {(~known).sum()} distractors',
            f'{(~np.isin(labels[is_probe], labels[mates])).sum()} probes without a mate, which count for nothing',
        ]
        return of_files('TinyFace', [info['img_path'] for info in data.data_list], labels[known], facts)
    data = FaceFolderDataset(str(path), serialize_data=False)
    labels = np.array([info['gt_label'] for info in data.data_list])
    return of_files('folders of identities', [info['img_path'] for info in data.data_list], labels)


def inspect(pictures: Pictures, workers: int) -> tuple[Counter, list[str]]:
    """How many pictures have which size (width, height), and what is wrong with the others."""
    # Forked workers share the arrays of a record file; a pool would send them with every task.
    loader = DataLoader(pictures, BATCH, num_workers=workers, collate_fn=list)
    sizes, faults = Counter(), []
    for batch in track(loader, 'reading', console=Console(stderr=True)):
        for name, size, fault in batch:
            if size:
                sizes[size] += 1
            else:
                faults.append(f'{name}: {fault}')
    return sizes, faults


def describe(path: Path, pictures: Pictures, sizes: Counter, faults: list[str]) -> str:
    """The report in words."""
    lines = [f'{path}: {pictures.kind}, {len(pictures)} pictures', *pictures.facts]
    if pictures.labels is not None:
        counts = np.unique(pictures.labels, return_counts=True)[1]
        lines.append(
            f'{len(counts)} identities of {counts.min()} to {counts.max()} pictures, median {np.median(counts):g}'
        )
    common = [f'{width}x{height} ({count})' for (width, height), count in sizes.most_common(5)]
    if len(sizes) > 5:
        common.append(f'{len(sizes) - 5} other sizes')
    if sizes:
        widths, heights = zip(*sizes)
        lines.append(f'widths {min(widths)} to {max(widths)}, heights {min(heights)} to {max(heights)} pixels')
        lines.append(f'sizes: {", ".join(common)}')
    if faults:
        lines.append(f'{len(faults)} pictures cannot be read:')
        lines += [f'  {fault}' for fault in faults]
    return '\n  '.join(lines)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog='The exit status is 0 when all is well, 1 when something is missing or damaged, and 2 when the command\n'
        'line is wrong.',
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('path', type=Path, metavar='PATH', help='file or folder to check')
    parser.add_argument(
        '--pictures',
        type=Path,
        metavar='FOLDER',
        help="what the paths in a list of pairs are relative to (default: the list's folder)",
    )
    parser.add_argument(
        '--workers', type=int, default=2, metavar='N', help='processes that read; 0: only this one (default: 2)'
    )
    args = parser.parse_args(arguments)
    if not args.path.exists():
        parser.error(f'{args.path} does not exist')
    if args.workers < 0:
        parser.error(f'--workers is {args.workers}, expected at least 0')

    try:
        pictures = recognise(args.path, args.pictures or args.path.parent)
    except (OSError, RuntimeError, ValueError) as error:
        print(f'{error}\n\nProblems found: download or unpack again what is named above.')
        return 1
    sizes, faults = inspect(pictures, args.workers)
    print(describe(args.path, pictures, sizes, faults))
    print('\nProblems found: download or unpack again what is named above.' if faults else '\nAll is well.')
    return bool(faults)


if __name__ == '__main__':
    sys.exit(main())
