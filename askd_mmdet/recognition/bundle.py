"""Verification bundles (`agedb_30.bin`, `lfw.bin`, `cfp_fp.bin`): pickles, read as data only."""

import pickle
from pathlib import Path

import numpy as np

# What real bundles hold beside bytes, lists, tuples, bools and integers, which need no name.
_ADMITTED = {
    ('numpy', 'ndarray'): np.ndarray,
    ('numpy', 'dtype'): np.dtype,
    **{
        (f'numpy.{core}.multiarray', name): getattr(np._core.multiarray, name)
        for core in ('core', '_core')
        for name in ('_reconstruct', 'scalar')
    },
    **{(f'numpy.{core}.numeric', '_frombuffer'): np._core.numeric._frombuffer for core in ('core', '_core')},
}


class _DataUnpickler(pickle.Unpickler):
    """Refuses every class and function but numpy's arrays and scalars."""

    def find_class(self, module, name):
        if (module, name) == ('_codecs', 'encode'):  # how Python 3 writes bytes for Python 2
            return _encode
        if (module, name) not in _ADMITTED:
            raise pickle.UnpicklingError(f'refused: it asks for {module}.{name}')
        return _ADMITTED[module, name]


def _encode(text, encoding='latin1'):
    if encoding != 'latin1' or not isinstance(text, str):
        raise pickle.UnpicklingError(f'refused: _codecs.encode with {encoding!r}')
    return text.encode('latin1')


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
        pictures = [bytes(np.asarray(p, np.uint8)) if isinstance(p, (np.ndarray, list)) else p for p in pictures]
        same = np.asarray(same)
        holds = all(isinstance(p, bytes) for p in pictures) and same.ndim == 1 and same.dtype.kind in 'biu'
    except (TypeError, ValueError):
        holds = False
    if not holds:
        raise ValueError(f'{path} holds a {type(content).__name__}, expected a list of JPEGs and a list of booleans')
    if len(pictures) != 2 * len(same):
        raise ValueError(
            f'{path} holds {len(pictures)} pictures and {len(same)} pairs, expected two pictures for each pair'
        )
    return pictures, same.astype(bool)
