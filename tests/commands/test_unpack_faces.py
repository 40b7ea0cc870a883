"""Unpacked files hold the very bytes, are read by the data sets, and survive a kill."""

import subprocess
import time
from pathlib import Path

import pytest

from askd_mmdet.recognition.bundle import read_bundle
from askd_mmdet.recognition.datasets import FaceFolderDataset, FaceRecordDataset, PairBundleDataset, PairListDataset
from tests.recognition.formats import jpeg, packed, record, write_bundle, write_records
from tests.toy_run import COMMAND


@pytest.fixture
def unpack(askd):
    return lambda *arguments: askd('unpack', *arguments)


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob('*') if path.is_file()}


def test_records_become_folders_of_the_same_bytes(tmp_path, unpack):
    labels = [0, 11, 11, 2, 0, 2, 0, 11, 0, 2]
    path = write_records(tmp_path, [(label, jpeg(i)) for i, label in enumerate(labels)])
    assert unpack(path, tmp_path / 'faces')[0] == 0
    assert files(tmp_path / 'faces') == {f'{label:02d}/{i + 1:02d}.jpg': jpeg(i) for i, label in enumerate(labels)}
    folders, records = FaceFolderDataset(str(tmp_path / 'faces')), FaceRecordDataset(str(path))
    found = {Path(info['img_path']).read_bytes(): info['gt_label'] for info in map(folders.get_data_info, range(10))}
    assert found == {info['img_bytes']: info['gt_label'] for info in map(records.get_data_info, range(10))}


def test_a_bundle_becomes_a_list_of_pairs(tmp_path, unpack):
    path = write_bundle(tmp_path / 'agedb_30.bin', [jpeg(i) for i in range(6)], [True, False, True])
    assert unpack(path, tmp_path / 'out')[0] == 0
    unpacked = PairListDataset('pairs.txt', data_root=str(tmp_path / 'out'))
    bundle = PairBundleDataset(str(path))
    for key in ('pairs', 'same'):
        assert unpacked.metainfo[key].tolist() == bundle.metainfo[key].tolist()
    contents = [Path(unpacked.get_data_info(i)['img_path']).read_bytes() for i in range(6)]
    assert contents == read_bundle(path)[0]


def test_pngs_are_called_so(tmp_path, unpack):
    png = b'\x89PNG\r\n\x1a\n and so on'
    assert unpack(write_records(tmp_path, [(0, png), (0, jpeg())]), tmp_path / 'faces')[0] == 0
    assert sorted(files(tmp_path / 'faces')) == ['0/1.png', '0/2.jpg']


def test_damaged_records_are_left_out_and_counted(tmp_path, unpack):
    parts = [bytearray(record(packed(7, jpeg(i)))) for i in range(4)]
    parts[2][7] |= 0x60  # the last part of a split record, without a first one
    starts = [sum(map(len, parts[:i])) for i in range(4)]
    (tmp_path / 'train.rec').write_bytes(b''.join(parts))
    (tmp_path / 'train.idx').write_text(''.join(f'{i}\t{start}\n' for i, start in enumerate(starts, 1)))
    status, out, _ = unpack(tmp_path / 'train.rec', tmp_path / 'faces')
    assert status == 1
    assert files(tmp_path / 'faces') == {f'7/{i + 1}.jpg': jpeg(i) for i in (0, 1, 3)}
    assert '3 pictures of 1 identities' in out and 'left out 1 damaged records' in out and f'byte {starts[2]}' in out


def test_a_killed_run_leaves_whole_files_and_goes_on(tmp_path):
    contents = [jpeg(i) for i in range(5000)]
    path = write_records(tmp_path, [(i % 5, content) for i, content in enumerate(contents)])
    faces = tmp_path / 'faces'
    command = [*COMMAND, 'unpack', str(path), str(faces)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    deadline = time.time() + 100
    while not (faces / '4/0010.jpg').is_file() and process.poll() is None and time.time() < deadline:
        time.sleep(0.001)
    process.kill()
    process.communicate()
    expected = {f'{i % 5}/{i + 1:04d}.jpg': content for i, content in enumerate(contents)}
    left = {name: content for name, content in files(faces).items() if name.endswith('.jpg')}
    assert 0 < len(left) < len(expected) and left.items() <= expected.items()

    kept = {name: (faces / name).stat().st_mtime_ns for name in left}
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0 and files(faces) == expected, done.stderr
    assert kept == {name: (faces / name).stat().st_mtime_ns for name in left}


@pytest.mark.parametrize(
    'name, message',
    [
        ('a.bin', '{}/a.bin is not a bundle that can be read safely'),
        ('a.txt', 'expected an existing .rec or .bin file'),
        ('missing.rec', 'expected an existing .rec or .bin file'),
    ],
)
def test_a_damaged_or_wrong_file_is_an_error(tmp_path, unpack, name, message):
    (tmp_path / 'a.bin').write_bytes(b'no pickle')
    (tmp_path / 'a.txt').write_text('')
    status, _, errors = unpack(tmp_path / name, tmp_path / 'out')
    assert status == 1 and message.format(tmp_path) in errors
    assert not (tmp_path / 'out').exists()
