"""Verification bundles (`agedb_30.bin`, `lfw.bin`, `cfp_fp.bin`): pickles, read as data only."""

import io
import pickle
from pathlib import Path
from struct import Struct

import numpy as np

from askd_mmdet.training.files import data_hint


class _DataUnpickler(pickle._Unpickler):
    """Refuses every class and function but numpy's arrays and scalars, and those it makes itself.

    In Python, since the one in C fills gigabytes of memory when a changed byte asks for the memo of a great number.
    """

    def find_class(self, module, name):
        if (module, name) not in _ADMITTED:
            raise pickle.UnpicklingError(f'refused: it asks for {module}.{name}')
        return _ADMITTED[module, name]

    def load_bytearray8(self):
        # Python's own reserves the bytes before it reads any.
        (length,) = Struct('<Q').unpack(self.read(8))
        self.append(bytearray(self.read(length)))

    dispatch = pickle._Unpickler.dispatch | {pickle.BYTEARRAY8[0]: load_bytearray8}


class _Dtype:
    """Stands in for numpy.dtype: a type of plain numbers. A real one would let a bundle forge pointers to objects."""

    def __init__(self, code, align, copy):
        self.plain = np.dtype(code.decode() if isinstance(code, bytes) else code)
        if self.plain.kind not in 'biu':
            raise pickle.UnpicklingError(f'refused: it holds numpy data of type {self.plain}')

    def __setstate__(self, state):
        order = state[1]
        self.plain = self.plain.newbyteorder(order.decode() if isinstance(order, bytes) else order)


class _Array:
    """Stands in for an array that numpy would make empty and fill afterwards."""

    def __init__(self, kind, shape, code):
        self.plain = np.empty(0, np.uint8)

    def __setstate__(self, state):
        _, shape, dtype, _, content = state
        self.plain = _array(content, dtype, shape, 'C')


def _array(content, dtype, shape, order):
    return np.frombuffer(content, dtype.plain).reshape(shape)


def _scalar(dtype, content):
    return np.frombuffer(content, dtype.plain)[0]


def _encode(text, encoding):
    if encoding != 'latin1' or not isinstance(text, str):
        raise pickle.UnpicklingError(f'refused: _codecs.encode with {encoding!r}')
    return text.encode('latin1')


# What real bundles hold beside bytes, lists, tuples, bools and integers, which need no name.
_ADMITTED = {
    ('_codecs', 'encode'): _encode,  # how Python 3 writes bytes for Python 2
    ('numpy', 'dtype'): _Dtype,
    ('numpy', 'ndarray'): None,  # only handed to _reconstruct
}
for _core in ('numpy.core', 'numpy._core'):
    _ADMITTED[f'{_core}.multiarray', '_reconstruct'] = _Array
    _ADMITTED[f'{_core}.multiarray', 'scalar'] = _scalar
    _ADMITTED[f'{_core}.numeric', '_frombuffer'] = _array


def _plain(value):
    return value.plain if isinstance(value, _Array) else value


def _file(picture):
    picture = _plain(picture)
    return picture.tobytes() if isinstance(picture, np.ndarray) and picture.dtype == np.uint8 else picture


def read_bundle(path: str | Path) -> tuple[list[bytes], np.ndarray]:
    """Read a bundle without running what it may contain.

    Returns:
        The files of 2N pictures, of which 2i and 2i + 1 are a pair, and whether each pair shows one person, bool (N,).

    Raises:
        FileNotFoundError: When there is no such file.
        ValueError: When it is damaged, no bundle, asks to run code, or calls a pair anything but 0 or 1. (-1 stands for
            two persons in lists of pairs; no bundle is known to have it, so there it is a sign of damage.)
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f'{path} does not exist, part of the insightface training archives: {data_hint(path)}')
    try:
        # From memory: of a file one could ask for more bytes than it has, which would be reserved.
        content = _DataUnpickler(io.BytesIO(path.read_bytes()), encoding='bytes').load()
    except Exception as error:  # damaged pickles raise whatever they happen to run into
        raise ValueError(
            f'{path} is not a bundle that can be read safely: {error or type(error).__name__}. It is damaged, or holds '
            'more than pictures and booleans; download it again'
        ) from error
    try:
        pictures, same = content
        pictures = [_file(picture) for picture in pictures]
        # A list of plain numbers, or numpy would unfold whatever lists are nested in it.
        same = list(_plain(same))
        holds = all(isinstance(p, bytes) for p in pictures)
        holds &= all(isinstance(one, (bool, int, np.bool_, np.integer)) for one in same)
    except (TypeError, ValueError):
        holds = False
    if not holds:
        raise ValueError(f'{path} is a pickle of something else, expected a list of JPEGs and a list of booleans')
    if wrong := [one for one in same if one not in (0, 1)]:
        raise ValueError(
            f'{path} calls a pair {wrong[0]}, expected 1 (one person) or 0 (two); it is damaged: download it again'
        )
    if not pictures:
        raise ValueError(f'{path} holds no picture; download it again')
    if len(pictures) != 2 * len(same):
        raise ValueError(
            f'{path} holds {len(pictures)} pictures and {len(same)} pairs, expected two pictures for each pair'
        )
    return pictures, np.array(same, bool)
