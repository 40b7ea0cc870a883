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
from tests.recognition.formats import MAGIC, jpeg, packed, record, write_records
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
        (lambda c, x: (announce(c, 1.0), x), r'train.rec holds no picture|found \d keys from 1 to 0'),
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
