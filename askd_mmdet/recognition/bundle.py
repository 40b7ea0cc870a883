"""Verification bundles (`agedb_30.bin`, `lfw.bin`, `cfp_fp.bin`): pickles, read as data only."""

import pickle
from pathlib import Path

import numpy as np


class _DataUnpickler(pickle.Unpickler):
    """Refuses every class and function but numpy's arrays and scalars, and those it makes itself."""

    def find_class(self, module, name):
        if (module, name) not in _ADMITTED:
            raise pickle.UnpicklingError(f'refused: it asks for {module}.{name}')
        return _ADMITTED[module, name]


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


def read_bundle(path: str | Path) -> tuple[list[bytes], np.ndarray]:
    """Read a bundle without running what it may contain.

    Returns:
        The files of 2N pictures, of which 2i and 2i + 1 are a pair, and whether each pair shows one person, bool (N,).

    Raises:
        FileNotFoundError: When there is no such file.
        ValueError: When it is damaged, no bundle, or asks to run code.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f'{path} does not exist; it is part of the insightface training archives')
    try:
        with path.open('rb') as file:
            content = _DataUnpickler(file, encoding='bytes').load()
    except Exception as error:  # damaged pickles raise whatever they happen to run into
        raise ValueError(
            f'{path} is not a bundle that can be read safely: {error or type(error).__name__}. It is damaged, or holds '
            'more than pictures and booleans; download it again'
        ) from error
    try:
        pictures, same = content
        pictures = [_plain(picture) for picture in pictures]
        pictures = [p.astype(np.uint8).tobytes() if isinstance(p, np.ndarray) else p for p in pictures]
        same = np.asarray(_plain(same))
        holds = all(isinstance(p, bytes) for p in pictures) and same.ndim == 1
        holds &= same.dtype.kind in 'biu' or not same.size
    except (TypeError, ValueError):
        holds = False
    if not holds:
        raise ValueError(f'{path} is a pickle of something else, expected a list of JPEGs and a list of booleans')
    if not pictures:
        raise ValueError(f'{path} holds no picture; download it again')
    if len(pictures) != 2 * len(same):
        raise ValueError(
            f'{path} holds {len(pictures)} pictures and {len(same)} pairs, expected two pictures for each pair'
        )
    return pictures, same.astype(bool)
