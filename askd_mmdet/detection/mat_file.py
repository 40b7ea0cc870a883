"""The part of MATLAB's level 5 MAT-files that WIDER FACE's ground truth is written in, read strictly.

SciPy's reader trusts what a file says of its own sizes: one damaged byte makes it allocate gigabytes or takes the
process down. Here every size is held against the bytes that are there, and a compressed variable against its checksum.
"""

import math
import struct
import zlib
from collections.abc import Collection

import numpy as np

# All that a file may hold, unpacked, in bytes; the official files hold less than 3 MB each.
LARGEST = 2**25

# The types of stored numbers and the classes of arrays, as the format numbers them.
_TYPES = {1: 'i1', 2: 'u1', 3: 'i2', 4: 'u2', 5: 'i4', 6: 'u4', 7: 'f4', 9: 'f8', 12: 'i8', 13: 'u8'}
_CLASSES = dict(enumerate(('f8', 'f4', 'i1', 'u1', 'i2', 'u2', 'i4', 'u4', 'i8', 'u8'), 6))
_INT8, _INT32, _UINT32, _MATRIX, _COMPRESSED = 1, 5, 6, 14, 15
_CELL, _CHAR = 1, 4
_TEXTS = {1: 'ascii', 2: 'ascii', 4: 'utf-16-le', 16: 'utf-8', 17: 'utf-16-le'}
_COMPLEX = 0x08
# Cells within cells: those of the ground truth are two deep.
_DEEPEST = 4


def read_mat(content: bytes, names: Collection[str]) -> dict[str, np.ndarray | str]:
    """The variables of a MAT-file that are called for and there, from its bytes.

    Returns:
        Arrays of numbers in the type of their class, cells as arrays of objects, each in its shape (rows, columns),
        and rows of characters as str.

    Raises:
        ValueError: When the file is not whole, larger than `LARGEST`, of another byte order, or holds anything else.
    """
    if len(content) > LARGEST:
        raise ValueError(f'{len(content)} bytes, expected at most {LARGEST}')
    if content[124:128] != b'\x00\x01IM':
        raise ValueError('no header of a MAT-file of level 5')
    variables, room = {}, LARGEST
    rest = memoryview(content)[128:]
    while rest:
        kind, data, rest = _element(rest, padded=False)
        if kind == _COMPRESSED:
            unpacked = _unpack(data, room)
            room -= len(unpacked)
            kind, data, end = _element(memoryview(unpacked), padded=False)
            if end:
                raise ValueError('bytes behind a compressed variable')
        if kind != _MATRIX:
            raise ValueError(f'element of type {kind}, expected a variable')
        array_class, shape, name, body = _header(data)
        if name in variables:
            raise ValueError(f'two variables {name}')
        if name in names:
            variables[name] = _values(array_class, shape, body, 1)
    return variables


def _unpack(data, room):
    stream = zlib.decompressobj()
    try:
        unpacked = stream.decompress(data, room + 1)  # 0 would be no limit
    except zlib.error as error:
        raise ValueError(f'damaged compressed variable: {error}') from error
    # At its end the checksum has been compared.
    if not stream.eof or stream.unused_data or len(unpacked) > room:
        raise ValueError(f'compressed variable that is cut off, or more than {LARGEST} bytes in all')
    return unpacked


def _element(data, padded=True):
    """Type and bytes of the first element of some bytes, and what follows it."""
    if len(data) < 8:
        raise ValueError('cut off')
    kind, size = struct.unpack('<II', data[:8])
    if kind >> 16:  # a small element: its size in the upper half, and its bytes in the tag itself
        kind, size, start, end = kind & 0xFFFF, kind >> 16, 4, 8
    else:
        start, end = 8, 8 + (-(-size // 8) * 8 if padded else size)
    if start + size > end or end > len(data):
        raise ValueError('cut off, or an element of a wrong size')
    return kind, data[start : start + size], data[end:]


def _header(data):
    """Class, shape and name of an array, and the bytes of its contents."""
    kind, flags, data = _element(data)
    if kind != _UINT32 or len(flags) != 8:
        raise ValueError('array without flags')
    kind, shape, data = _element(data)
    if kind != _INT32 or len(shape) != 8:
        raise ValueError('array that has not two dimensions')
    kind, name, data = _element(data)
    if kind != _INT8:
        raise ValueError('array without a name')
    if flags[1] & _COMPLEX:
        raise ValueError('complex numbers')
    rows, columns = struct.unpack('<ii', shape)
    if min(rows, columns) < 0:
        raise ValueError(f'array of {rows} x {columns}')
    return flags[0], (rows, columns), bytes(name).decode('latin-1'), data


def _values(array_class, shape, data, depth):
    """What an array holds, whose contents must fill `data`."""
    if array_class == _CELL:
        values, data = _cells(shape, data, depth)
    else:
        kind, stored, data = _element(data)
        values = (_text if array_class == _CHAR else _numbers)(array_class, shape, kind, stored)
    if data:
        raise ValueError('bytes behind the contents of an array')
    return values


def _cells(shape, data, depth):
    count = math.prod(shape)
    if 8 * count > len(data) or depth > _DEEPEST:  # a cell takes eight bytes at least
        raise ValueError(f'{shape[0]} x {shape[1]} cells in {len(data)} bytes, {depth} deep')
    cells, nothing = np.empty(count, object), np.zeros((0, 0))
    for i in range(count):
        kind, cell, data = _element(data)
        if kind != _MATRIX:
            raise ValueError(f'cell of type {kind}')
        if cell:
            array_class, inner_shape, _, body = _header(cell)
            cells[i] = _values(array_class, inner_shape, body, depth + 1)
        else:  # the short form of an empty array
            cells[i] = nothing
    return cells.reshape(shape, order='F'), data


def _text(_, shape, kind, stored):
    if kind not in _TEXTS:
        raise ValueError(f'characters of type {kind}')
    text = bytes(stored).decode(_TEXTS[kind])
    if len(text) != math.prod(shape) or shape[0] > 1:
        raise ValueError(f'{len(text)} characters in an array of {shape[0]} x {shape[1]}, expected one row')
    return text


def _numbers(array_class, shape, kind, stored):
    if array_class not in _CLASSES or kind not in _TYPES:
        raise ValueError(f'array of class {array_class} with numbers of type {kind}')
    # A small type may be stored for a larger one.
    stored_type, own_type = np.dtype('<' + _TYPES[kind]), np.dtype(_CLASSES[array_class])
    if not np.can_cast(stored_type, own_type) or len(stored) != math.prod(shape) * stored_type.itemsize:
        raise ValueError(f'{len(stored)} bytes of {stored_type} in an array of {shape[0]} x {shape[1]} {own_type}')
    return np.frombuffer(stored, stored_type).reshape(shape, order='F').astype(own_type)
