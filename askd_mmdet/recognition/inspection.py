"""What face data hold, which of their pictures are damaged or copies, and which pairs contradict each other."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from torch.utils.data import DataLoader

from askd_mmdet.progress import track
from askd_mmdet.recognition.bundle import read_bundle
from askd_mmdet.recognition.datasets import DISTRACTOR, FaceFolderDataset, TinyFaceDataset, read_pairs
from askd_mmdet.recognition.record_io import RecordFile
from askd_mmdet.training.files import first_names
from askd_mmdet.training.pictures import decode_picture

BATCH = 64


@dataclass
class Pictures:
    """Pictures of any source, as a data set of their names, sizes and faults.

    Attributes:
        kind: What the source is, for the report.
        read: Gives the file of picture i.
        names: What the pictures are called.
        labels: Whom they show, int (N,), -100 for distractors; None where the source names nobody.
        pairs: The numbers of the pictures of P pairs, int (P, 2); None where the source has no pairs.
        same: Whether they show one person, bool (P,).
        facts: Further lines of the report.
    """

    kind: str
    read: Callable[[int], bytes]
    names: Sequence[str]
    labels: np.ndarray | None = None
    pairs: np.ndarray | None = None
    same: np.ndarray | None = None
    facts: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, i: int) -> tuple[int, tuple[int, int] | None, str]:
        """A number that files of equal bytes share, (width, height) in pixels or None, and what is wrong."""
        try:
            content = self.read(i)
            # The decoder of LoadPicture: what fails here fails in training.
            height, width = decode_picture(content).shape[:2]
            return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), 'little'), (width, height), ''
        except FileNotFoundError:
            return i, None, 'missing'
        except (OSError, ValueError) as error:
            return i, None, str(error)


def of_files(kind: str, paths: list[str], **others) -> Pictures:
    return Pictures(kind, lambda i: Path(paths[i]).read_bytes(), paths, **others)


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
        pairs = np.arange(len(files)).reshape(-1, 2)
        return Pictures('verification bundle', files.__getitem__, names, pairs=pairs, same=same)
    if path.is_file():
        pairs, _ = read_pairs(path)
        numbers = {name: i for i, name in enumerate(dict.fromkeys(name for _, *two, _ in pairs for name in two))}
        return of_files(
            'list of pairs',
            [str(folder / name) for name in numbers],
            pairs=np.array([[numbers[a], numbers[b]] for _, a, b, _ in pairs]),
            same=np.array([same for *_, same in pairs]),
        )
    if any((path / name).is_dir() for name in ('Probe', 'Gallery_Match')):
        data = TinyFaceDataset(str(path), serialize_data=False)
        labels, is_probe = data.metainfo['labels'], data.metainfo['is_probe']
        known = labels != DISTRACTOR
        mates = known & ~is_probe
        facts = [
            f'{is_probe.sum()} probes, {mates.sum()} mates, {(~known).sum()} distractors',
            f'{(~np.isin(labels[is_probe], labels[mates])).sum()} probes without a mate, which count for nothing',
        ]
        return of_files('TinyFace', [info['img_path'] for info in data.data_list], labels=labels, facts=facts)
    data = FaceFolderDataset(str(path), serialize_data=False)
    labels = np.array([info['gt_label'] for info in data.data_list])
    return of_files('folders of identities', [info['img_path'] for info in data.data_list], labels=labels)


def inspect(pictures: Pictures, workers: int) -> tuple[Counter, list[str], np.ndarray]:
    """How many pictures have which size (width, height), what is wrong with the others, and for each the first one of
    the same bytes, int (N,).
    """
    # Forked workers share the arrays of a record file; a pool would send them with every task.
    loader = DataLoader(pictures, BATCH, num_workers=workers, collate_fn=list)
    sizes, faults, digests = Counter(), [], []
    for batch in track(loader, 'reading'):
        for digest, size, fault in batch:
            if size:
                sizes[size] += 1
            else:
                faults.append(f'{pictures.names[len(digests)]}: {fault}')
            digests.append(digest)
    _, first, inverse = np.unique(np.array(digests, np.uint64), return_index=True, return_inverse=True)
    return sizes, faults, first[inverse]


def name_copies(pictures: Pictures, originals: np.ndarray) -> list[str]:
    """Lines about the pictures that are copies of others."""
    copies = np.flatnonzero(originals != np.arange(len(originals)))
    named = [f'{pictures.names[i]} = {pictures.names[originals[i]]}' for i in copies]
    lines = name_some('pictures are copies of others', named)
    if pictures.labels is not None:
        strangers = pictures.labels[copies] != pictures.labels[originals[copies]]
        lines += name_some('of them under another identity', [named[i] for i in np.flatnonzero(strangers)])
    return lines


def judge_pairs(pictures: Pictures, originals: np.ndarray) -> tuple[list[str], list[str]]:
    """Lines about a truth: what makes it wrong, and what is odd and harms little."""
    answers = defaultdict(list)
    for (a, b), pair, one in zip(pictures.pairs, originals[pictures.pairs].tolist(), pictures.same.tolist()):
        answers[frozenset(pair)].append((f'{pictures.names[a]} {pictures.names[b]}', one))
    contradictory, doubled, alone = [], [], []
    for pair, found in answers.items():
        name, kinds = found[0][0], {one for _, one in found}
        if len(kinds) > 1 or (len(pair) == 1 and False in kinds):
            contradictory.append(name)
        elif len(found) > 1:
            doubled.append(name)
        elif len(pair) == 1:
            alone.append(name)
    wrong = name_some('pairs contradict others, or call a picture and its copy two persons', contradictory)
    if len(set(pictures.same.tolist())) == 1:
        kind = 'one person' if pictures.same.all() else 'two persons'
        wrong.append(f'all pairs are of {kind}: without pairs of both kinds nothing can be verified')
    odd = name_some('pairs occur more than once', doubled) + name_some('pairs are of a picture and its copy', alone)
    return wrong, odd


def name_some(what: str, names: list[str]) -> list[str]:
    """A line with the number of names and the first five of them, where there are any."""
    return [f'{len(names)} {what}: {first_names(names)}'] if names else []


def describe(path: Path, pictures: Pictures, sizes: Counter, faults: list[str], notes: list[str], show: int) -> str:
    """The report in words, with the first `show` faults."""
    lines = [f'{path}: {pictures.kind}, {len(pictures)} pictures', *pictures.facts]
    if pictures.pairs is not None:
        lines.append(f'{len(pictures.pairs)} pairs, {pictures.same.sum()} of one person')
    if pictures.labels is not None:
        counts = np.unique(pictures.labels[pictures.labels != DISTRACTOR], return_counts=True)[1]
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
    lines += notes
    if faults:
        lines.append(f'{len(faults)} pictures cannot be read:')
        lines += [f'  {fault}' for fault in faults[:show]]
        if len(faults) > show:
            lines.append(f'  ... and {len(faults) - show} more (--show {len(faults)} names all)')
    return '\n  '.join(lines)


def inspect_faces(path: Path, folder: Path | None = None, workers: int = 2, show: int = 5) -> tuple[str, bool]:
    """Look at all there is in a source of faces: a report in words, and whether all is well.

    Args:
        path: A `.rec` or `.bin` file of insightface, a list of pairs, TinyFace's folder, or a folder of folders.
        folder: What the paths in a list of pairs are relative to; by default the list's folder.
        workers: Processes that read; 0 for this one alone.
        show: How many unreadable pictures the report names.
    """
    try:
        pictures = recognise(path, folder or path.parent)
    except (OSError, RuntimeError, ValueError) as error:
        return str(error), False
    sizes, faults, originals = inspect(pictures, workers)
    wrong, odd = ([], []) if pictures.pairs is None else judge_pairs(pictures, originals)
    report = describe(path, pictures, sizes, faults, name_copies(pictures, originals) + odd + wrong, show)
    return report, not (faults or wrong)
