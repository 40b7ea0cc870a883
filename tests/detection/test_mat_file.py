"""The strict MAT-file reader against SciPy's on whole files, and against nothing but errors on the others."""

import struct
import tracemalloc
import zlib
from io import BytesIO

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from askd_mmdet.detection.mat_file import LARGEST, read_mat


def cells(*values):
    array = np.empty((len(values), 1), object)
    array[:, 0] = values
    return array


def saved(compressed=False, **variables):
    stream = BytesIO()
    savemat(stream, variables, do_compression=compressed)
    return stream.getvalue()


def assert_same(found, expected):
    if isinstance(found, str):
        assert found == ''.join(expected)
    else:
        assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
        if found.dtype == object:
            for one, other in zip(found.ravel(), expected.ravel()):
                assert_same(one, other)
        else:
            np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize('compressed', [False, True])
def test_values_are_scipys(compressed):
    rng = np.random.default_rng(0)
    variables = {
        f'x_{kind}': (100 * rng.random((3, 4))).astype(kind)
        for kind in ('f8', 'f4', 'i1', 'u1', 'i2', 'u2', 'i4', 'u4', 'i8', 'u8')
    }
    variables['nested'] = cells('0--Parade', cells(np.eye(2), np.zeros((0, 1)), 'häuser', ''), np.zeros((0, 0), object))
    content = saved(compressed, **variables)
    found = read_mat(content, variables)
    assert found.keys() == variables.keys()
    for name, expected in loadmat(BytesIO(content), mat_dtype=True).items():
        if name in found:
            assert_same(found[name], expected)
    assert list(read_mat(content, ['x_i4', 'absent'])) == ['x_i4']


@pytest.mark.parametrize('name', ['wider_face_val', 'wider_easy_val', 'wider_medium_val', 'wider_hard_val'])
def test_official_files(real_wider_face, name):
    for folder in ('ground_truth', 'sample/ground_truth'):
        content = (real_wider_face / folder / f'{name}.mat').read_bytes()
        expected = {key: value for key, value in loadmat(BytesIO(content), mat_dtype=True).items() if key[0] != '_'}
        found = read_mat(content, expected)
        assert found.keys() == expected.keys()
        for key in expected:
            assert_same(found[key], expected[key])


def element(kind, data, size=None):
    return struct.pack('<II', kind, len(data) if size is None else size) + data + bytes(-len(data) % 8)


def variable(array_class, shape, contents, flags=0, name=b'x'):
    """A variable as the format's description has it: flags, dimensions, name and contents."""
    parts = (6, struct.pack('<II', array_class | flags << 8, 0)), (5, np.array(shape, '<i4').tobytes()), (1, name)
    return element(14, b''.join(element(*part) for part in parts) + contents)


def mat_file(*elements):
    return b'MATLAB 5.0'.ljust(124) + b'\x00\x01IM' + b''.join(elements)


NUMBERS = element(9, np.arange(6.0).tobytes())


def test_the_description_of_the_format():
    assert read_mat(mat_file(variable(6, (2, 3), NUMBERS)), 'x')['x'].tolist() == [[0, 2, 4], [1, 3, 5]]
    # A small element, and numbers stored in a smaller type than their class.
    small = struct.pack('<HHBBBB', 2, 3, 7, 8, 9, 0)
    assert read_mat(mat_file(variable(6, (1, 3), small)), 'x')['x'].tolist() == [[7, 8, 9]]
    (nothing,) = read_mat(mat_file(variable(1, (1, 1), element(14, b''))), 'x')['x'].ravel()
    assert nothing.shape == (0, 0)


def compressed(data):
    packed = zlib.compress(data)
    return struct.pack('<II', 15, len(packed)) + packed


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (b'', 'no header'),
        (b'<html>'.ljust(999), 'no header'),
        (mat_file(variable(6, (2, 3), NUMBERS)).replace(b'\x00\x01IM', b'\x01\x00MI'), 'no header'),
        (mat_file(variable(6, (2, 3), NUMBERS))[:-1], 'cut off'),
        (mat_file(b'abc'), 'cut off'),
        (mat_file(element(9, bytes(8))), 'type 9, expected a variable'),
        (mat_file(*[variable(6, (2, 3), NUMBERS)] * 2), 'two variables x'),
        (mat_file(variable(6, (2, 4), NUMBERS)), '48 bytes .* 2 x 4'),
        (mat_file(variable(6, (-2, -3), NUMBERS)), '-2 x -3'),
        (mat_file(variable(6, (2**31 - 1, 2**31 - 1), NUMBERS)), '48 bytes'),
        (mat_file(variable(6, (2, 3, 1, 1), NUMBERS)), 'two dimensions'),
        (mat_file(variable(6, (2, 3), NUMBERS + bytes(8))), 'bytes behind'),
        (mat_file(variable(6, (2, 3), NUMBERS, flags=8)), 'complex'),
        (mat_file(variable(12, (2, 3), NUMBERS)), 'float64 in an array of 2 x 3 int32'),
        (mat_file(variable(2, (1, 1), NUMBERS)), 'class 2'),
        (mat_file(variable(4, (1, 3), element(16, b'abcd'))), '4 characters in an array of 1 x 3'),
        (mat_file(variable(4, (1, 2), element(16, b'\xff\xff'))), 'decode'),
        (mat_file(variable(4, (2, 1), element(16, b'ab'))), 'expected one row'),
        (mat_file(variable(1, (587_202_562, 1), variable(6, (2, 3), NUMBERS))), '587202562 x 1 cells'),
        (mat_file(variable(1, (1, 1), NUMBERS)), 'cell of type 9'),
        (mat_file(element(14, b'', size=2**32 - 1)), 'cut off'),
        (mat_file(compressed(variable(6, (2, 3), NUMBERS))[:-4]), 'cut off'),
        (mat_file(compressed(bytes(LARGEST + 1))), f'more than {LARGEST} bytes'),
        (mat_file(*[compressed(element(14, bytes(LARGEST // 2)))] * 3), 'without flags|more than'),
        (bytes(LARGEST + 1), 'expected at most'),
    ],
)
def test_anything_else_is_refused(content, message):
    with pytest.raises(ValueError, match=message):
        read_mat(content, ['x'])


def test_a_wrong_checksum_is_refused():
    packed = bytearray(mat_file(compressed(variable(6, (2, 3), NUMBERS))))
    packed[-1] ^= 1
    with pytest.raises(ValueError, match='damaged compressed variable'):
        read_mat(bytes(packed), ['x'])


def test_cells_nested_without_end_are_refused():
    deep = variable(6, (2, 3), NUMBERS)
    for _ in range(2000):
        deep = variable(1, (1, 1), deep)
    with pytest.raises(ValueError, match='deep'):
        read_mat(mat_file(deep), ['x'])


def test_bombs_take_bounded_memory():
    """A hundred variables of as many bytes as a file may have in all, in 3 MB."""
    bomb = compressed(variable(6, (1, LARGEST // 8 - 16), element(9, bytes(LARGEST - 128)), name=b'y'))
    content = mat_file(*[bomb] * 100)
    tracemalloc.start()
    with pytest.raises(ValueError, match=r'two variables y|more than'):
        read_mat(content, ['x'])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5 * LARGEST
