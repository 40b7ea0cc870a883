"""Verification bundles: what real ones hold is read, what hostile ones hold is not run."""

import os
import pickle
import tracemalloc

import numpy as np
import pytest

from askd_mmdet.recognition.bundle import read_bundle
from tests.recognition.formats import jpeg, mutations, write_bundle

PICTURES = [jpeg(i) for i in range(4)]


@pytest.mark.parametrize('protocol', [0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize('same', [[True, False], [np.True_, np.False_], np.array([True, False]), [1, 0]], ids=str)
def test_every_protocol_and_kind_of_boolean_is_read(tmp_path, protocol, same):
    found, labels = read_bundle(write_bundle(tmp_path / 'a.bin', PICTURES, same, protocol))
    assert found == PICTURES and labels.tolist() == [True, False] and labels.dtype == bool


def test_pictures_may_be_arrays_of_bytes(tmp_path):
    arrays = [np.frombuffer(picture, np.uint8) for picture in PICTURES]
    assert read_bundle(write_bundle(tmp_path / 'a.bin', arrays, [True, False]))[0] == PICTURES


def test_numbers_of_another_byte_order_are_read(tmp_path):
    found = read_bundle(write_bundle(tmp_path / 'a.bin', PICTURES, np.array([1, 0], '>i4')))
    assert found[1].tolist() == [True, False]


def test_strings_of_python_2_are_bytes(tmp_path):
    """What Python 2 wrote: protocol 2 with its 8-bit strings."""
    strings = b''.join(b'T' + len(p).to_bytes(4, 'little') + p for p in PICTURES)
    (tmp_path / 'a.bin').write_bytes(b'\x80\x02](' + strings + b'e](\x88\x89e\x86.')
    found, same = read_bundle(tmp_path / 'a.bin')
    assert found == PICTURES and same.tolist() == [True, False]


class Hostile:
    def __init__(self, call, *args):
        self.reduced = call, args

    def __reduce__(self):
        return self.reduced


@pytest.mark.parametrize('protocol', [0, 2, 4])
def test_a_hostile_bundle_runs_nothing(tmp_path, protocol):
    proof = tmp_path / 'proof'
    for call, *args in (
        (os.system, f'touch {proof}'),
        (exec, f'open({str(proof)!r}, "w")'),
        (getattr, 'text', 'upper'),
        (open, str(proof), 'w'),
    ):
        path = write_bundle(tmp_path / 'a.bin', [Hostile(call, *args)], [True], protocol)
        with pytest.raises(ValueError, match=r'a.bin is not a bundle that can be read safely: refused: it asks for'):
            read_bundle(path)
    assert not proof.exists()


@pytest.mark.parametrize('protocol', [0, 2, 4])
def test_a_bundle_forges_no_pointers_with_numpy(tmp_path, protocol):
    """An array of objects over eight bytes of one's choice is a pointer to anywhere."""
    path, address = tmp_path / 'a.bin', bytes(8)
    forged = Hostile(np.ndarray, (1,), np.dtype('O'), address), np.frombuffer(address, 'V8'), np.array([object])
    for content in (*forged, Hostile(np.ndarray, (1 << 40,))):
        with pytest.raises(ValueError, match='is not a bundle that can be read safely'):
            read_bundle(write_bundle(path, [content], [True], protocol))


def test_the_encoder_of_bytes_encodes_nothing_else(tmp_path):
    import codecs

    path = write_bundle(tmp_path / 'a.bin', [Hostile(codecs.encode, 'x', 'rot13')], [True], 2)
    with pytest.raises(ValueError, match=r'refused: _codecs\.encode'):
        read_bundle(path)


def test_wrong_contents_are_named(tmp_path):
    path = tmp_path / 'a.bin'
    with pytest.raises(FileNotFoundError, match=r'a.bin does not exist'):
        read_bundle(path)
    whole = write_bundle(path, PICTURES, [True, False]).read_bytes()
    for content in (whole[: len(whole) // 2], b'', b'<html>404</html>', whole[:-1]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match='is not a bundle that can be read safely'):
            read_bundle(path)
    for content in ([1, 2, 3], dict(a=1), (PICTURES, [[True], [False]]), ('ab', [True]), ([1, 2], [True]), (3, [True])):
        path.write_bytes(pickle.dumps(content))
        with pytest.raises(ValueError, match='expected a list of JPEGs and a list of booleans'):
            read_bundle(path)
    with pytest.raises(ValueError, match='holds no picture'):
        read_bundle(write_bundle(path, [], []))
    with pytest.raises(ValueError, match=r'holds 4 pictures and 3 pairs, expected two pictures for each pair'):
        read_bundle(write_bundle(path, PICTURES, [True, False, True]))


@pytest.mark.parametrize('same', [[1, -1], [True, 2], np.array([0, 256]), np.array([0, 255], np.uint8)], ids=str)
def test_a_pair_is_of_one_person_or_two(tmp_path, same):
    """-1 is known from lists of pairs alone; in a bundle it more likely is damage than a third way of saying False."""
    with pytest.raises(ValueError, match=r'a.bin calls a pair (-1|2|256|255), expected 1 \(one person\) or 0 \(two\)'):
        read_bundle(write_bundle(tmp_path / 'a.bin', PICTURES, same))


@pytest.mark.parametrize('same', [[1.0, 0.0], ['1', '0'], [[1], [0]], 7], ids=str)
def test_a_truth_of_another_kind_is_no_bundle(tmp_path, same):
    with pytest.raises(ValueError, match='expected a list of JPEGs and a list of booleans'):
        read_bundle(write_bundle(tmp_path / 'a.bin', PICTURES, same))


def test_numbers_that_are_no_bytes_are_no_picture(tmp_path):
    with pytest.raises(ValueError, match='expected a list of JPEGs and a list of booleans'):
        read_bundle(write_bundle(tmp_path / 'a.bin', [np.array([300, 1])] * 2, [True]))


NESTED = [True]  # ten lists of the same ten lists, and so on: 100 million for numpy
for _ in range(8):
    NESTED = [NESTED] * 10


def memory_peak(path):
    tracemalloc.start()
    with pytest.raises(ValueError, match=r'is not a bundle that can be read safely|expected a list of JPEGs'):
        read_bundle(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


@pytest.mark.parametrize(
    'content',
    [
        b'\x80\x02]r\xff\xff\xff\x0f.',  # the list goes to place 268 million of the memo
        b'\x80\x04\x8e' + (1 << 33).to_bytes(8, 'little') + b'abc.',  # bytes of 8 GiB
        b'\x80\x05\x96' + (1 << 33).to_bytes(8, 'little') + b'abc.',  # a bytearray of 8 GiB
        b'\x80\x04\x95' + (1 << 33).to_bytes(8, 'little') + b'].',  # a frame of 8 GiB
        pickle.dumps((PICTURES[:2], NESTED)),
    ],
    ids=['memo', 'bytes', 'bytearray', 'frame', 'nested'],
)
def test_a_bundle_takes_no_more_memory_than_it_has_bytes(tmp_path, content):
    (tmp_path / 'a.bin').write_bytes(content)
    assert memory_peak(tmp_path / 'a.bin') < 10_000_000


@pytest.mark.parametrize('protocol', [0, 2, 4])
def test_a_damaged_bundle_is_refused_or_wrong_in_one_place(tmp_path, protocol):
    """Neither a picture nor an answer has a checksum, so that one changed place may change one of them; no more."""
    pictures, same = [jpeg(i, 8)[:80] for i in range(6)], [True, False, True]
    path, refused = tmp_path / 'a.bin', 0
    for content in mutations(write_bundle(path, pictures, same, protocol).read_bytes(), 500 if protocol == 4 else 100):
        path.write_bytes(content)
        try:
            found, answers = read_bundle(path)
        except ValueError:
            refused += 1
            continue
        assert len(found) == 6 and answers.dtype == bool and len(answers) == 3
        assert sum(map(bytes.__ne__, found, pictures)) + (answers != same).sum() <= 1
    assert refused > 30
