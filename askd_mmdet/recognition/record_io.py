"""Insightface's `train.rec` and `train.idx`: MXNet's RecordIO, read in any order and without MXNet.

A record is the magic number, a word with its length (29 bits) and its place in a split payload (3 bits), the payload,
and zeros up to a multiple of four. The payload is a header (flag, label, two ids; `flag` more labels where it is not 0)
and the file of a picture. Record 0 may announce, by two labels and no picture, where the pictures end; what follows
them are records without a picture that list identities.
"""

import os
import struct
from pathlib import Path

import numpy as np

from askd_mmdet.training.files import data_hint

MAGIC = 0xCED7230A
_WORDS = struct.Struct('<II')
_HEADER = struct.Struct('<IfQQ')
_HINT = 'unpack the download again'


class RecordFile:
    """Random access to the pictures of a `.rec` file, from any number of processes.

    Args:
        path: The `.rec` file; its `.idx` file lies beside it.

    Attributes:
        keys: int64 (N,), the pictures' keys in the index, ascending.
        labels: int64 (N,), the identity that each picture's record names.

    Raises:
        FileNotFoundError: When one of the two files is missing.
        ValueError: When the index is malformed or does not agree with the records, a label is no whole number from 0,
            or there is no picture.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        index = self.path.with_suffix('.idx')
        for file in (self.path, index):
            if not file.is_file():
                raise FileNotFoundError(
                    f'{file} does not exist; a .rec file and its .idx file lie side by side: {data_hint(file)}'
                )
        keys, self._offsets = _read_index(index)
        self._file = None
        labels, lists = self._read_headers(keys)
        wild = ~((labels >= 0) & (labels <= 2**31) & (labels == np.floor(labels)))  # so that NaN is wild
        if wild.any():
            i = wild.argmax()
            raise ValueError(
                f'{self.path}: the record of key {keys[i]} has the label {labels[i]}, expected a whole number from 0; '
                f'{_HINT}'
            )
        if keys[0] == 0 and lists[0]:
            end = int(labels[0])
            pictures = (keys > 0) & (keys < end)
            if pictures.sum() != end - 1:
                raise ValueError(
                    f'{index}: found {pictures.sum()} keys from 1 to {end - 1}, but record 0 of {self.path} announces '
                    f'{end - 1} pictures; {_HINT}'
                )
            if len(behind := keys[(keys >= end) & ~lists]):
                raise ValueError(
                    f'{self.path}: record 0 announces {end - 1} pictures, but {len(behind)} records behind them hold '
                    f'one, first that of key {behind[0]}; {_HINT}'
                )
        else:
            pictures = ~lists  # where record 0 is missing or holds a picture itself
        if not pictures.any():
            raise ValueError(f'{self.path} holds no picture; {_HINT}')
        self.keys, self._offsets = keys[pictures], self._offsets[pictures]
        self.labels = labels[pictures].astype(np.int64)

    def __len__(self) -> int:
        return len(self.keys)

    def read(self, i: int) -> bytes:
        """The file of picture i, 0 <= i < N, as it was packed.

        Raises:
            ValueError: When the record is damaged.
        """
        return self._unpack(self._payload(i), i)

    def __getstate__(self) -> dict:
        return dict(self.__dict__, _file=None)  # every process opens the file for itself

    def _pread(self, size, offset):
        if self._file is None:
            self._file = open(self.path, 'rb')  # noqa: SIM115, it stays open for all reads
        return os.pread(self._file.fileno(), size, offset)  # no position that forked processes would share

    def _read_headers(self, keys):
        """The (first) label of every record, and whether it is a list of labels alone; the pictures are not read."""
        content = np.memmap(self.path, np.uint8, 'r') if self.path.stat().st_size else np.empty(0, np.uint8)
        index = self.path.with_suffix('.idx')
        outside = self._offsets > len(content) - _WORDS.size - _HEADER.size
        if outside.any():
            i = outside.argmax()
            raise ValueError(
                f'{index}: key {keys[i]} lies at byte {self._offsets[i]} of {self.path}, which has {len(content)} '
                'bytes; the files do not belong together, or the download is cut off'
            )
        magic, length, flag, label = _gather(content, self._offsets, 4).T
        wrong = (magic != MAGIC) | (self._offsets % 4 > 0)
        if wrong.any():
            i = wrong.argmax()
            raise ValueError(
                f'{index}: key {keys[i]} lies at byte {self._offsets[i]} of {self.path}, where no record begins '
                f'({wrong.sum()} of {len(keys)} keys are wrong); the files do not belong together'
            )
        labels, listed = label.view('<f4').copy(), flag > 0
        # A list of labels follows the header. One that the file cuts off is left to `read`.
        first = self._offsets + _WORDS.size + _HEADER.size
        listed &= first + 4 <= len(content)
        labels[listed] = _gather(content, first[listed], 1)[:, 0].view('<f4')
        # The length of a split record has further bits, so that it equals no such number.
        return labels, listed & (length == _HEADER.size + 4 * flag.astype(np.int64))

    def _payload(self, i):
        """The payload of a record, joined where it was split."""
        offset = int(self._offsets[i])
        parts = []
        while True:
            words = self._pread(_WORDS.size, offset)
            if len(words) < _WORDS.size:
                raise self._damaged(i, f'the file ends at byte {offset + len(words)}')
            magic, length = _WORDS.unpack(words)
            place, length = length >> 29, length & (1 << 29) - 1
            if magic != MAGIC or (place in (2, 3)) != bool(parts):
                raise self._damaged(i, f'no part of it begins at byte {offset}')
            part = self._pread(length, offset + _WORDS.size)
            if len(part) < length:
                raise self._damaged(i, f'it has {length} bytes, of which {length - len(part)} are behind the end')
            parts.append(part)
            if place in (0, 3):
                # The writer splits a payload at every magic number in it, and leaves that out.
                return _WORDS.pack(MAGIC, 0)[:4].join(parts)
            offset += _WORDS.size + (length + 3 & ~3)

    def _unpack(self, payload, i):
        """The picture in a payload."""
        if len(payload) < _HEADER.size:
            raise self._damaged(i, f'its payload has {len(payload)} bytes, less than its header')
        flag = _HEADER.unpack_from(payload)[0]
        if len(payload) < _HEADER.size + 4 * flag:
            raise self._damaged(i, f'its header announces {flag} labels in {len(payload)} bytes')
        return payload[_HEADER.size + 4 * flag :]

    def _damaged(self, i, what):
        return ValueError(
            f'{self.path}: the record of key {self.keys[i]} at byte {self._offsets[i]} is damaged: {what}; {_HINT}'
        )


def _gather(content, offsets, words):
    """`words` 32-bit words of a file from each offset on, uint32 (N, words)."""
    rows = np.empty((len(offsets), 4 * words), np.uint8)
    for start in range(0, len(offsets), 1 << 16):  # the indices take eight times the memory of the bytes
        part = slice(start, start + (1 << 16))
        rows[part] = content[offsets[part, None] + np.arange(4 * words)]
    return rows.view('<u4')


def _read_index(path):
    """Keys and offsets of a `.idx` file, both int64 (N,), by ascending key."""
    expected = f'{path}: expected lines of a key, a tab and an offset in bytes'
    if not path.stat().st_size:
        raise ValueError(f'{expected}, found an empty file; {_HINT}')
    try:
        table = np.loadtxt(path, np.int64, comments=None, delimiter='\t', encoding='utf-8-sig', ndmin=2)
    except ValueError as error:
        raise ValueError(f'{expected}, found: {error}; {_HINT}') from error
    if not table.size:
        raise ValueError(f'{expected}, found none; {_HINT}')
    if table.shape[1:] != (2,) or table.min() < 0:
        raise ValueError(f'{expected}, found {table[0].tolist()} first and {table.min()} as the least number; {_HINT}')
    table = table[table[:, 0].argsort(kind='stable')]
    repeated = np.flatnonzero(np.diff(table[:, 0]) == 0)
    if len(repeated):
        raise ValueError(f'{path}: found the key {table[repeated[0], 0]} twice; {_HINT}')
    offsets, counts = np.unique(table[:, 1], return_counts=True)
    if (counts > 1).any():
        raise ValueError(f'{path}: found the offset {offsets[counts.argmax()]} twice; {_HINT}')
    return table.T.copy()
