"""RecordIO, written by the definition of the format and read back; and everything that can be wrong with it."""

import pickle
import struct
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from askd_mmdet.recognition.record_io import RecordFile
from tests.recognition.formats import MAGIC, jpeg, mutations, packed, record, write_records
from tests.toy_run import ROOT

WORD = st.one_of(st.just(MAGIC), st.binary(min_size=4, max_size=4))


@given(st.lists(st.lists(WORD, max_size=6).map(b''.join), min_size=1, max_size=4), st.binary(max_size=3))
def test_any_payload_comes_back(tmp_path_factory, payloads, tail):
    """Also one with the magic number in it, which the writer splits."""
    folder = tmp_path_factory.mktemp('records')
    pictures = [(i, payload + tail) for i, payload in enumerate(payloads)]
    records = RecordFile(write_records(folder, pictures))
    assert [records.read(i) for i in range(len(records))] == [content for _, content in pictures]
    assert records.labels.tolist() == list(range(len(pictures)))
    assert records.keys.tolist() == list(range(1, len(pictures) + 1))


def test_a_file_without_announcement_holds_pictures_alone(tmp_path):
    records = RecordFile(write_records(tmp_path, [(5, b'a'), ([7, 1], b'b')], announce=False))
    assert records.labels.tolist() == [5, 7] and [records.read(i) for i in (1, 0)] == [b'b', b'a']


def test_processes_read_at_once_and_a_pickled_reader_reads_on(tmp_path):
    """In a fresh process, for whose workers no thread of torch can stand still."""
    write_records(tmp_path, [(i % 3, jpeg(i)) for i in range(40)])
    script = f"""
import torch, zlib
from askd_mmdet.recognition.datasets import FaceRecordDataset
def digest(results):
    return results['img_path'], results['gt_label'], zlib.crc32(results['img_bytes'])
data = FaceRecordDataset({str(tmp_path / 'train.rec')!r}, pipeline=[digest])
data[0]
loader = torch.utils.data.DataLoader(data, batch_size=4, num_workers=3, shuffle=True, collate_fn=list)
print(sorted(sum(loader, [])) == sorted(data[i] for i in range(40)), len(data))
"""
    done = subprocess.run([sys.executable, '-c', script], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.split()[-2:] == ['True', '40'], done.stderr[-2000:]
    reader = RecordFile(tmp_path / 'train.rec')
    reader.read(0)
    assert pickle.loads(pickle.dumps(reader)).read(39) == jpeg(39)


def damaged(tmp_path, change):
    """Records with a change to (content of the .rec, lines of the .idx)."""
    path = write_records(tmp_path, [(i, bytes([i]) * 100) for i in range(3)])
    content, lines = change(path.read_bytes(), path.with_suffix('.idx').read_text().splitlines(True))
    path.write_bytes(content)
    path.with_suffix('.idx').write_text(''.join(lines))
    return path


def announce(content, end):
    """The file with another announcement in record 0, behind its two words, its header and its first label's place."""
    return content[:32] + struct.pack('<f', end) + content[36:]


@pytest.mark.parametrize(
    'change, message',
    [
        (lambda c, x: (c, [*x[:2], '2 ' + x[2].split('\t')[1], *x[3:]]), r'train.idx: expected lines of a key, a tab'),
        (
            lambda c, x: (c, []),
            r'train.idx: expected lines of a key, a tab and an offset in bytes, found an empty file',
        ),
        (lambda c, x: (c, [*x, x[1]]), r'train.idx: found the key 1 twice'),
        (lambda c, x: (c, [*x[:2], x[1].replace('1', '2', 1), *x[3:]]), r'train.idx: found the offset \d+ twice'),
        (lambda c, x: (c, [*x[:2], x[2].replace('2', '\u0662', 1), *x[3:]]), r'could not convert string'),
        (lambda c, x: (c.replace(struct.pack('<f', 2), struct.pack('<f', 2.5)), x), r'has the label 2.5, expected a'),
        (lambda c, x: (c.replace(struct.pack('<f', 2), struct.pack('<f', -2)), x), r'has the label -2.0, expected a'),
        (
            lambda c, x: (announce(c, 3.0), x),
            r'announces 2 pictures, but 1 records behind them hold one, first .* key 3',
        ),
        (lambda c, x: (c, [*x[:2], '2\t99999\n', *x[3:]]), r'key 2 lies at byte 99999 of .*, which has \d+ bytes'),
        (
            lambda c, x: (c, [*x[:2], '2\t44\n', *x[3:]]),
            r'key 2 lies at byte 44 of .*, where no record begins \(1 of 7',
        ),
        (lambda c, x: (c, [x[0], x[1], *x[3:]]), r'found 2 keys from 1 to 3, but record 0 of .* announces 3 pictures'),
        (lambda c, x: (c[:300], x), r'the files do not belong together, or the download is cut off'),
        (lambda c, x: (b'', x), r'which has 0 bytes'),
        (lambda c, x: (c, ['\n']), r'train.idx: expected lines of a key, a tab and an offset in bytes, found none'),
        (lambda c, x: (c, ['# nothing\n']), r'train.idx: expected lines of a key, a tab and an offset'),
        (lambda c, x: (c, [*x[:2], f'2\t{2**63 - 5}\n', *x[3:]]), rf'key 2 lies at byte {2**63 - 5} of'),
        (lambda c, x: (announce(c, float('inf')), x), r'the record of key 0 has the label inf'),
        (lambda c, x: (announce(c, float('nan')), x), r'the record of key 0 has the label nan'),
        (
            lambda c, x: (announce(c, 1.0), x),
            r'record 0 announces 0 pictures, but 3 records behind them hold one, first that of key 1',
        ),
        (lambda c, x: (c.replace(struct.pack('<f', 2.0), struct.pack('<f', 1e30)), x), r'has the label 1.0\d*e\+30'),
    ],
)
def test_an_index_that_disagrees_with_the_records_is_refused(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        RecordFile(damaged(tmp_path, change))


@pytest.mark.parametrize(
    'payload, message',
    [
        (MAGIC + struct.pack('<I', 10**6) + bytes(200), r'it has 1000000 bytes, of which \d+ are behind the end'),
        (MAGIC + struct.pack('<I', 3 << 29 | 40) + bytes(200), r'no part of it begins at byte \d+'),
        (MAGIC + struct.pack('<I', 1 << 29 | 24) + bytes(24) + b'12345678' * 9, r'no part of it begins at byte \d+'),
        (record(bytes(8)) + bytes(20), 'its payload has 8 bytes, less than its header'),
        (record(struct.pack('<IfQQ', 50, 0, 0, 0)), 'its header announces 50 labels in 24 bytes'),
    ],
)
def test_a_damaged_record_is_an_error_when_read_and_the_others_stay_readable(tmp_path, payload, message):
    good = record(packed(1, b'good'))
    (tmp_path / 'a.rec').write_bytes(good + payload)
    (tmp_path / 'a.idx').write_text(f'1\t0\n2\t{len(good)}\n')
    records = RecordFile(tmp_path / 'a.rec')
    assert records.read(0) == b'good'
    with pytest.raises(ValueError, match=rf'a.rec: the record of key 2 at byte {len(good)} is damaged: {message}'):
        records.read(1)


def test_a_file_that_ends_within_a_split_record_is_an_error(tmp_path):
    content = record(packed(1, b'abcd' + MAGIC + b'efgh'))
    (tmp_path / 'a.rec').write_bytes(content[:-12])
    (tmp_path / 'a.idx').write_text('1\t0\n')
    with pytest.raises(ValueError, match='the file ends at byte'):
        RecordFile(tmp_path / 'a.rec').read(0)


@pytest.mark.parametrize('missing', ['train.rec', 'train.idx'])
def test_a_missing_file_is_named(tmp_path, missing):
    path = write_records(tmp_path, [(0, b'')])
    (tmp_path / missing).unlink()
    with pytest.raises(FileNotFoundError, match=f'{missing} does not exist'):
        RecordFile(path)


def test_labels_are_read_without_the_pictures(tmp_path):
    """A hundred thousand records: headers only, so that it takes a moment and little memory."""
    count = 100_000
    one = record(packed(0, bytes(36)))
    stream = np.tile(np.frombuffer(one, np.uint8), (count, 1))
    stream[:, 12:16] = (np.arange(count) % 777).astype('<f4').view(np.uint8).reshape(-1, 4)
    (tmp_path / 'a.rec').write_bytes(stream.tobytes())
    np.savetxt(tmp_path / 'a.idx', np.stack([np.arange(count) + 1, np.arange(count) * len(one)], 1), '%d', '\t')
    records = RecordFile(tmp_path / 'a.rec')
    assert (records.labels == np.arange(count) % 777).all() and records.read(count - 1) == bytes(36)


def test_a_record_0_with_a_picture_announces_nothing(tmp_path):
    """What insightface's RecBuilder writes: keys from 0, and each label in a list of one."""
    parts = [record(packed([label], jpeg(i))) for i, label in enumerate([3, 3, 1])]
    offsets = np.cumsum([0, *map(len, parts)])[:-1]
    (tmp_path / 'a.rec').write_bytes(b''.join(parts))
    (tmp_path / 'a.idx').write_text(''.join(f'{i}\t{offset}\n' for i, offset in enumerate(offsets)))
    records = RecordFile(tmp_path / 'a.rec')
    assert records.keys.tolist() == [0, 1, 2] and records.labels.tolist() == [3, 3, 1]
    assert [records.read(i) for i in range(3)] == [jpeg(i) for i in range(3)]


def test_records_that_list_an_identity_are_no_pictures_without_an_announcement_either(tmp_path):
    path = write_records(tmp_path, [(i % 2, jpeg(i)) for i in range(4)])
    index = path.with_suffix('.idx')
    index.write_text(index.read_text().split('\n', 1)[1])  # the key 0 is lost
    records = RecordFile(path)
    assert records.keys.tolist() == [1, 2, 3, 4] and records.labels.tolist() == [0, 1, 0, 1]
    assert [records.read(i) for i in range(4)] == [jpeg(i) for i in range(4)]


def test_an_index_may_begin_with_a_byte_order_mark(tmp_path):
    path = write_records(tmp_path, [(5, b'a'), (6, b'b')])
    index = path.with_suffix('.idx')
    index.write_text('\ufeff' + index.read_text(), encoding='utf-8')
    assert RecordFile(path).labels.tolist() == [5, 6]


@pytest.fixture
def pristine(tmp_path):
    path = write_records(tmp_path, [(i // 2, jpeg(i, 8)) for i in range(6)])
    return path, contents(path)


def contents(path):
    """What the file says of each key: a label, and a picture or None."""
    records, found = RecordFile(path), {}
    for i, (key, label) in enumerate(zip(records.keys.tolist(), records.labels.tolist())):
        try:
            found[key] = label, records.read(i)
        except ValueError:
            found[key] = label, None
    return found


@pytest.mark.filterwarnings('ignore:loadtxt')
def test_a_damaged_index_gives_the_same_pictures_or_is_refused(pristine):
    path, expected = pristine
    index, refused = path.with_suffix('.idx'), 0
    for content in mutations(index.read_bytes()):
        index.write_bytes(content)
        try:
            found = contents(path)
        except ValueError:
            refused += 1
        else:
            assert sorted(found.values()) == sorted(expected.values())
    assert 250 < refused < 500


def test_a_damaged_record_file_is_refused_or_wrong_in_one_picture(pristine):
    """A label and a JPEG have no checksum, so that one changed place may change one of them; no more."""
    path, expected = pristine
    refused = 0
    for content in mutations(path.read_bytes()):
        path.write_bytes(content)
        try:
            found = contents(path)
        except ValueError:
            refused += 1
        else:
            assert sum(found.get(key) != expected.get(key) for key in found.keys() | expected.keys()) <= 1
    assert 250 < refused < 500
