"""Faces as they are downloaded: training identities, pairs to verify, TinyFace."""

import math
import os
import re
from pathlib import Path

import numpy as np
from mmengine.dataset import force_full_init
from mmengine.logging import print_log
from mmpretrain.datasets import BaseDataset
from mmpretrain.registry import DATASETS

from askd_mmdet.recognition.bundle import read_bundle
from askd_mmdet.recognition.record_io import RecordFile
from askd_mmdet.training.files import data_hint, first_names
from askd_mmdet.training.pictures import find_pictures, labelled_pictures, read_text
from askd_mmdet.training.settings import check_number, check_type
from askd_mmdet.training.unreadable import ReplacesUnreadable

DISTRACTOR = -100


class FaceDataset(ReplacesUnreadable, BaseDataset):
    """A list of face pictures whose files need not be files of their own.

    A picture that cannot be read is replaced and counted, see `ReplacesUnreadable`; the pipeline begins with
    `LoadPicture`.
    """

    @property
    def check_tool(self) -> str:
        return f'askd check {self.ann_file or self.img_prefix}'


def number_identities(labels: np.ndarray, min_pictures: int, source: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give identities the numbers 0 to C - 1 that a classifier needs, and say what was unusual.

    Args:
        labels: int (N,), any numbers.
        min_pictures: Identities with fewer pictures are left out.
        source: Where they come from, for the log.

    Returns:
        The indices of the pictures that stay (M,), their new labels (M,), and the old labels of the identities (C,).

    Raises:
        ValueError: When nothing stays.

    Example:
        >>> number_identities(np.array([7, 3, 7]), 2, 'x')
        (array([0, 2]), array([0, 0]), array([7]))
    """
    identities, inverse, counts = np.unique(labels, return_inverse=True, return_counts=True)
    kept = counts >= min_pictures
    if not kept.any():
        raise ValueError(
            f'{source}: found {len(identities)} identities, none with {min_pictures} pictures; lower min_pictures'
        )
    notes = []
    if (single := (counts == 1).sum()) and min_pictures < 2:
        notes.append(f'{single} identities with one picture')
    if not kept.all():
        notes.append(f'left out {(~kept).sum()} identities with fewer than {min_pictures} pictures')
    if identities[0] != 0 or len(identities) != identities[-1] + 1:
        notes.append(f'labels from {identities[0]} to {identities[-1]} have gaps and were numbered anew')
    print_log(
        f'{source}: {counts[kept].sum()} pictures of {kept.sum()} identities{"".join("; " + n for n in notes)}',
        'current',
    )
    chosen = np.flatnonzero(kept[inverse])
    return chosen, (np.cumsum(kept) - 1)[inverse[chosen]], identities[kept]


@DATASETS.register_module()
class FaceRecordDataset(FaceDataset):
    """Training identities from insightface's `train.rec` and `train.idx`, which are read as they are.

    Args:
        ann_file: The `.rec` file, relative to `data_root`; the `.idx` file lies beside it.
        min_pictures: Identities with fewer pictures are left out.
        **kwargs: See MMEngine's BaseDataset.

    Raises:
        FileNotFoundError, ValueError: See :class:`RecordFile` and :func:`number_identities`.
    """

    def __init__(self, ann_file: str, min_pictures: int = 1, **kwargs):
        check_number(type(self).__name__, 'min_pictures', min_pictures, whole=True, at_least=1)
        check_type(type(self).__name__, 'ann_file', ann_file, str, Path)
        self.min_pictures = min_pictures
        # Arrays hold what little there is to know of a picture; millions of dicts would take minutes to serialise.
        super().__init__(ann_file, serialize_data=False, **kwargs)

    def load_data_list(self) -> np.ndarray:
        """The pictures' places in the record file, int (N,); see :meth:`get_data_info`."""
        self.records = RecordFile(self.ann_file)
        chosen, labels, identities = number_identities(self.records.labels, self.min_pictures, self.ann_file)
        self._labels = np.full(len(self.records), -1)
        self._labels[chosen] = labels
        self._metainfo['classes'] = tuple(map(str, identities))
        return chosen

    @force_full_init
    def get_data_info(self, idx: int) -> dict:
        """img_path (`train.rec#<key>`), img_bytes, gt_label and sample_idx of a picture.

        A damaged record gives no bytes, so that the picture counts as unreadable.
        """
        place = self.data_list[idx]
        try:
            content = self.records.read(place)
        except ValueError:
            content = b''
        return dict(
            img_path=f'{self.ann_file}#{self.records.keys[place]}',
            img_bytes=content,
            gt_label=int(self._labels[place]),
            sample_idx=idx if idx >= 0 else len(self) + idx,
        )


@DATASETS.register_module()
class FaceFolderDataset(FaceDataset):
    """Training identities from folders, one for each.

    Args:
        data_root: Folder of the folders.
        min_pictures: Identities with fewer pictures are left out.
        **kwargs: See MMEngine's BaseDataset.

    Raises:
        FileNotFoundError: When there is no such folder, or no picture in its folders.
        ValueError: See :func:`number_identities`.
    """

    def __init__(self, data_root: str, min_pictures: int = 1, **kwargs):
        check_number(type(self).__name__, 'min_pictures', min_pictures, whole=True, at_least=1)
        check_type(type(self).__name__, 'data_root', data_root, str, Path)
        self.min_pictures = min_pictures
        super().__init__('', data_root=data_root, **kwargs)

    def load_data_list(self) -> list[dict]:
        """img_path and gt_label of every picture."""
        data_list, folders = labelled_pictures(self.img_prefix)
        labels = np.array([info['gt_label'] for info in data_list])
        chosen, labels, identities = number_identities(labels, self.min_pictures, self.img_prefix)
        self._metainfo['classes'] = tuple(folders[i] for i in identities)
        return [dict(data_list[i], gt_label=int(label)) for i, label in zip(chosen, labels)]


@DATASETS.register_module()
class PairBundleDataset(FaceDataset):
    """Pairs to verify from a bundle: `agedb_30.bin`, `lfw.bin`, `cfp_fp.bin`.

    Every picture is embedded once, although a bundle holds its bytes again for each of its pairs.
    The metainfo has `pairs`, the numbers of their pictures, int (N, 2), and `same`, bool (N,).

    Args:
        ann_file: The bundle, relative to `data_root`.
        **kwargs: See MMEngine's BaseDataset.

    Raises:
        FileNotFoundError, ValueError: See :func:`read_bundle`.
    """

    def __init__(self, ann_file: str, **kwargs):
        check_type(type(self).__name__, 'ann_file', ann_file, str, Path)
        super().__init__(ann_file, test_mode=True, **kwargs)

    def load_data_list(self) -> list[dict]:
        """img_path (`agedb_30.bin#<number>`, its first in the bundle) and img_bytes of every picture."""
        pictures, same = read_bundle(self.ann_file)
        first = {}
        for i, content in enumerate(pictures):
            first.setdefault(content, i)
        numbers = {content: i for i, content in enumerate(first)}
        self._metainfo.update(pairs=np.array([numbers[p] for p in pictures]).reshape(-1, 2), same=same)
        return [dict(img_path=f'{self.ann_file}#{i}', img_bytes=content) for content, i in first.items()]


def read_pairs(path: str | Path) -> tuple[list[tuple[int, str, str, bool]], int | None]:
    """Read a list of pairs, one in a line: LFW's own format, or two paths and 1 (one person), 0 or -1.

    LFW writes `name i j` for two pictures of one person and `name i other j` for two persons, whose files are
    `name/name_0001.jpg`, after a line with the number of folds, where it has folds, and that of pairs of each kind (in
    a fold). Lists of paths may begin with such a line as well. Columns are divided by tabs, or by spaces.

    Returns:
        For every pair the number of its line, its two pictures, and whether they show one person; and the number of
        folds, None where the list does not say it.

    Raises:
        FileNotFoundError: When there is no such file.
        ValueError: For a line of neither format, or another number of pairs than the first line says.
    """
    if not os.path.isfile(path):
        raise FileNotFoundError(f'{path} does not exist; it should list the pairs to verify: {data_hint(path)}')
    pairs, announced, folds = [], None, None
    for number, line in enumerate(read_text(path).split('\n'), 1):
        line = line.strip()
        if not line:
            continue
        columns = line.split('\t' if '\t' in line else None)
        match columns:
            case [name, i, j] if _is_number(i) and _is_number(j):
                pairs.append((number, _lfw(name, i), _lfw(name, j), True))
            case [name, i, other, j] if _is_number(i) and _is_number(j):
                pairs.append((number, _lfw(name, i), _lfw(other, j), False))
            case [first, second, '1' | '0' | '-1' as same]:  # -1 in the lists of A-SKD's authors
                pairs.append((number, first, second, same == '1'))
            case [_] | [_, _] if all(map(_is_number, columns)) and not pairs:
                announced = 2 * math.prod(map(int, columns))  # LFW's first line
                folds = int(columns[0]) if columns[1:] and int(columns[0]) > 1 else None
            case _:
                raise ValueError(
                    f"{path}:{number}: found {line!r}, expected 'path path 0|1|-1', or LFW's 'name i j' or "
                    "'name i other j'"
                )
    if not pairs:
        raise ValueError(f'{path}: found no pair')
    if announced not in (None, len(pairs)):
        raise ValueError(
            f'{path}: found {len(pairs)} pairs, but the first line announces {announced}; download it again'
        )
    return pairs, folds


def _is_number(column):
    # Of other scripts' digits Python makes numbers as well.
    return column.isascii() and column.isdecimal() and len(column) < 10


def _lfw(name, number):
    return f'{name}/{name}_{int(number):04d}.jpg'


@DATASETS.register_module()
class PairListDataset(FaceDataset):
    """Pairs to verify from a list, see :func:`read_pairs`, and folders of pictures.

    Every picture is embedded once, in however many pairs it is. The metainfo is that of :class:`PairBundleDataset`, and
    `folds`, None where the list does not say them.

    Args:
        ann_file: The list, relative to `data_root`.
        data_prefix: `dict(img_path=...)`, what the paths in the list are relative to.
        **kwargs: See MMEngine's BaseDataset.

    Raises:
        FileNotFoundError: When the list, or pictures that it names, are missing.
        ValueError: When the list is malformed.
    """

    def __init__(self, ann_file: str, **kwargs):
        check_type(type(self).__name__, 'ann_file', ann_file, str, Path)
        super().__init__(ann_file, test_mode=True, **kwargs)

    @property
    def check_tool(self) -> str:
        return f'{super().check_tool} --pictures {self.img_prefix or self.data_root}'

    def load_data_list(self) -> list[dict]:
        """img_path of every picture that occurs."""
        pairs, folds = read_pairs(self.ann_file)
        first_line = {}
        for line, *names, _ in pairs:
            for name in names:
                first_line.setdefault(name, line)
        paths = [Path(self.img_prefix or self.data_root, name) for name in first_line]
        missing = [
            f'{path} (line {line})' for path, line in zip(paths, first_line.values()) if not os.path.isfile(path)
        ]
        if missing:
            raise FileNotFoundError(
                f'{self.ann_file} names {len(missing)} pictures that do not exist: {first_names(missing)}; '
                'set data_prefix to their folder'
            )
        numbers = {name: i for i, name in enumerate(first_line)}
        self._metainfo.update(
            pairs=np.array([[numbers[a], numbers[b]] for _, a, b, _ in pairs]),
            same=np.array([same for *_, same in pairs]),
            folds=folds,
        )
        return [dict(img_path=str(path)) for path in paths]


@DATASETS.register_module()
class TinyFaceDataset(FaceDataset):
    """TinyFace's `Probe`, `Gallery_Match` and `Gallery_Distractor`, as one list in this order.

    The metainfo has `labels`, int (N,), the number before the first `_` of a file name, -100 for distractors, and
    `is_probe`, bool (N,). Copies of the data set that spell `Gallery_Disctractor` are read as well.

    Args:
        data_root: Folder of the three folders.
        ann_file: Not used; other face data sets have one.
        **kwargs: See MMEngine's BaseDataset.

    Raises:
        FileNotFoundError: When a folder is missing or holds no picture.
        ValueError: For a file name without a label.
    """

    def __init__(self, data_root: str, ann_file: str = '', **kwargs):
        check_type(type(self).__name__, 'data_root', data_root, str, Path)
        super().__init__(ann_file, data_root=data_root, test_mode=True, **kwargs)

    def load_data_list(self) -> list[dict]:
        """img_path of every picture."""
        root = Path(self.data_root)
        distractors = 'Gallery_Distractor'
        if not (root / distractors).is_dir() and (root / 'Gallery_Disctractor').is_dir():
            distractors = 'Gallery_Disctractor'
            print_log(f'{root}: took {distractors} for Gallery_Distractor', 'current')
        paths, labels, is_probe = [], [], []
        for folder in ('Probe', 'Gallery_Match', distractors):
            found = [root / folder / name for name in find_pictures(root / folder)]
            if not found:
                raise FileNotFoundError(
                    f'{root / folder} holds no picture; TinyFace has the folders Probe, Gallery_Match and '
                    f'Gallery_Distractor: {data_hint(root)}'
                )
            paths += found
            labels += [DISTRACTOR if folder == distractors else _label(path) for path in found]
            is_probe += [folder == 'Probe'] * len(found)
        labels, is_probe = np.array(labels), np.array(is_probe)
        mates = np.isin(labels[is_probe], labels[~is_probe])
        note = '' if mates.all() else f'; {(~mates).sum()} probes have no mate in the gallery'
        print_log(f'{root}: {is_probe.sum()} probes, {(~is_probe).sum()} gallery faces{note}', 'current')
        self._metainfo.update(labels=labels, is_probe=is_probe)
        return [dict(img_path=str(path)) for path in paths]


def _label(path):
    if not (match := re.match(r'([0-9]{1,9})_', path.name)):
        raise ValueError(f'{path}: expected a file name that begins with a label and _, as 12_1.jpg')
    return int(match[1])
