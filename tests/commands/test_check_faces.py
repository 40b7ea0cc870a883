"""The check of every kind of face data, whole and damaged in known ways."""

import subprocess

import numpy as np
import pytest
from PIL import Image

from tests.recognition.formats import jpeg, packed, record, write_bundle, write_records
from tests.toy_run import COMMAND

TRUNCATED = jpeg(3)[:300]


@pytest.fixture
def check(askd):
    """Runs the command in this process; returns its exit status and the lines of its output."""

    def run(*arguments):
        status, output, _ = askd('check', *arguments, '--workers', 0)
        return status, [line.strip() for line in output.splitlines() if 'OneDL' not in line]

    return run


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def test_records_are_counted_and_the_bad_ones_named(tmp_path, check):
    pictures = [(label, jpeg(i, 16 if i else 24)) for i, label in enumerate([0, 1, 1, 5, 5, 5])]
    path = write_records(tmp_path, pictures)
    status, lines = check(path)
    assert status == 0 and lines[-1] == 'All is well.'
    assert lines[:4] == [
        f'{path}: insightface records, 6 pictures',
        '3 identities of 1 to 3 pictures, median 2',
        'widths 16 to 24, heights 16 to 24 pixels',
        'sizes: 16x16 (5), 24x24 (1)',
    ]
    bad = {1: TRUNCATED, 2: b'<html>404</html>', 4: b''}
    write_records(tmp_path, [(label, bad.get(i, content)) for i, (label, content) in enumerate(pictures)])
    status, lines = check(path)
    faults = lines[lines.index('3 pictures cannot be read:') + 1 :][:3]
    assert status == 1 and [fault.split(': ')[0] for fault in faults] == [f'{path}#{i + 1}' for i in bad]
    assert 'truncated' in faults[0].lower() and faults[1:] == [f'{path}#3: no picture', f'{path}#5: no picture']


def test_a_damaged_record_hides_no_later_one(tmp_path, check):
    parts = [bytearray(record(packed(i, jpeg(i)))) for i in range(4)]
    for i in (1, 3):
        parts[i][7] |= 0x60  # the last part of a split record, without a first one
    starts = [sum(map(len, parts[:i])) for i in range(4)]
    (tmp_path / 'train.rec').write_bytes(b''.join(parts))
    (tmp_path / 'train.idx').write_text(''.join(f'{i}\t{start}\n' for i, start in enumerate(starts, 1)))
    status, lines = check(tmp_path / 'train.rec')
    assert status == 1 and '2 pictures cannot be read:' in lines
    for i in (1, 3):
        assert any(f'train.rec#{i + 1}: ' in x and f'byte {starts[i]} is damaged' in x for x in lines)


def test_a_bundle_is_counted_and_its_bad_pictures_named(tmp_path, check):
    path = write_bundle(tmp_path / 'a.bin', [jpeg(0), jpeg(1), jpeg(2), TRUNCATED], [True, False])
    status, lines = check(path)
    assert status == 1 and lines[:2] == [
        f'{path}: verification bundle, 4 pictures',
        '2 pairs, 1 of one person',
    ]
    assert any(line.startswith(f'{path}#3: ') for line in lines)
    assert check(write_bundle(path, [jpeg(i) for i in range(4)], [True, False]))[0] == 0
    status, lines = check(write_bundle(path, [jpeg(0)], [True]))
    assert status == 1 and 'holds 1 pictures and 1 pairs' in lines[0]


def test_a_list_of_pairs_is_counted_and_missing_pictures_named(tmp_path, check):
    for i in range(2):
        write(tmp_path / f'faces/{i}.jpg', jpeg(i))
    path = tmp_path / 'pairs.txt'
    path.write_text('0.jpg 1.jpg 1\n1.jpg 2.jpg 0\n')
    status, lines = check(path, '--pictures', tmp_path / 'faces')
    assert status == 1 and lines[:2] == [f'{path}: list of pairs, 3 pictures', '2 pairs, 1 of one person']
    assert lines[lines.index('1 pictures cannot be read:') + 1] == f'{tmp_path}/faces/2.jpg: missing'
    path.write_text('faces/0.jpg faces/1.jpg 1\nfaces/1.jpg faces/2.jpg 0\n')
    write(tmp_path / 'faces/2.jpg', jpeg(2))
    assert check(path)[0] == 0


@pytest.mark.parametrize('kind', ['bundle', 'list'])
@pytest.mark.parametrize(
    'pairs, status, message',
    [
        ([(0, 1, 1), (2, 3, 1)], 1, 'all pairs are of one person: without pairs of both kinds nothing can be verified'),
        ([(0, 1, 0), (2, 3, 0)], 1, 'all pairs are of two persons: without pairs of both kinds nothing can be'),
        (
            [(0, 1, 1), (2, 3, 0), (1, 0, 0)],
            1,
            '1 pairs contradict others, or call a picture and its copy two persons:',
        ),
        ([(0, 1, 1), (2, 2, 0)], 1, '1 pairs contradict others, or call a picture and its copy two persons:'),
        ([(0, 1, 1), (2, 3, 0), (3, 2, 0)], 0, '1 pairs occur more than once:'),
        ([(0, 0, 1), (2, 3, 0)], 0, '1 pairs are of a picture and its copy:'),
        ([(0, 1, 1), (2, 3, 0), (1, 2, 0)], 0, None),
    ],
)
def test_a_truth_that_cannot_be_is_named(tmp_path, check, kind, pairs, status, message):
    path = tmp_path / ('a.bin' if kind == 'bundle' else 'pairs.txt')
    if kind == 'bundle':
        write_bundle(path, [jpeg(i) for a, b, _ in pairs for i in (a, b)], [bool(one) for *_, one in pairs])
    else:
        # Each side of a pair has files of its own, which are copies.
        for side in 'ab':
            for i in range(4):
                write(tmp_path / f'{side}{i}.jpg', jpeg(i))
        path.write_text(''.join(f'a{a}.jpg b{b}.jpg {one}\n' for a, b, one in pairs))
    found, lines = check(path)
    assert found == status and lines[-1].startswith('Problems found' if status else 'All is well')
    about = [line for line in lines if 'pairs ' in line and not line.startswith(f'{len(pairs)} pairs, ')]
    assert len(about) == (message is not None) and all(line.startswith(message) for line in about)


def test_copies_are_named_and_no_problem(tmp_path, check):
    for name, seed in (('anna/0.jpg', 0), ('anna/1.jpg', 1), ('anna/2.jpg', 0), ('bela/0.jpg', 1), ('bela/1.jpg', 2)):
        write(tmp_path / name, jpeg(seed))
    status, lines = check(tmp_path)
    first, second = (
        f'{tmp_path}/{a} = {tmp_path}/{b}' for a, b in (('anna/2.jpg', 'anna/0.jpg'), ('bela/0.jpg', 'anna/1.jpg'))
    )
    assert status == 0 and f'2 pictures are copies of others: {first}, {second}' in lines
    assert f'1 of them under another identity: {second}' in lines


def test_pixels_without_a_range_are_named(tmp_path, check):
    Image.fromarray(np.float32([[0, 0.5], [1, 2]])).save(tmp_path / 'float.tif')
    Image.fromarray(np.uint16([[0, 500], [1000, 65535]])).save(tmp_path / 'grey.png')
    path = tmp_path / 'pairs.txt'
    path.write_text('float.tif grey.png 1\ngrey.png grey.png 0\n')
    status, lines = check(path)
    assert status == 1 and lines[lines.index('1 pictures cannot be read:') + 1].startswith(
        f"{tmp_path}/float.tif: pixels of Pillow's mode F have no range that is known"
    )


def test_folders_of_identities_are_counted(tmp_path, check):
    for i, name in enumerate(('a/0.jpg', 'a/1.jpg', 'a/2.png', 'b/0.jpg')):
        write(tmp_path / name, jpeg(i))
    status, lines = check(tmp_path)
    assert status == 0 and f'{tmp_path}: folders of identities, 4 pictures' in lines
    assert '2 identities of 1 to 3 pictures, median 2' in lines
    write(tmp_path / 'b/1.jpg', TRUNCATED)
    status, lines = check(tmp_path)
    assert status == 1 and any(line.startswith(f'{tmp_path}/b/1.jpg: ') for line in lines)


def test_tinyface_is_counted(tmp_path, check):
    for name in ('Probe/7_1.jpg', 'Probe/8_1.jpg', 'Gallery_Match/7_2.jpg', 'Gallery_Distractor/x.jpg'):
        write(tmp_path / name, jpeg())
    status, lines = check(tmp_path)
    assert status == 0 and f'{tmp_path}: TinyFace, 4 pictures' in lines
    assert '2 probes, 1 mates, 1 distractors' in lines
    assert '1 probes without a mate, which count for nothing' in lines
    assert '2 identities of 1 to 2 pictures, median 1.5' in lines
    (tmp_path / 'Gallery_Distractor/x.jpg').unlink()
    status, lines = check(tmp_path)
    assert status == 1 and any('Gallery_Distractor holds no picture' in line for line in lines)


def test_sources_that_are_damaged_as_a_whole_are_problems(tmp_path, check):
    (tmp_path / 'empty').mkdir()
    path = write_records(tmp_path, [(0, jpeg())])
    path.with_suffix('.idx').unlink()
    (tmp_path / 'pairs.txt').write_text('what is this\n')
    for name, message in (
        ('empty', 'found no picture'),
        ('train.rec', 'train.idx does not exist'),
        ('pairs.txt', 'pairs.txt:1: found'),
    ):
        status, lines = check(tmp_path / name)
        assert status == 1 and any(message in line for line in lines) and lines[-1].startswith('Problems found')


def test_the_command_reads_with_processes(tmp_path):
    path = write_records(tmp_path, [(i % 7, jpeg(i)) for i in range(200)])
    command = [*COMMAND, 'check', path, '--workers', '2']
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0 and 'sizes: 16x16 (200)' in done.stdout, done.stderr


@pytest.mark.parametrize(
    'arguments, message', [(['nowhere'], 'nowhere does not exist'), (['.', '--workers', '-1'], 'at least 0')]
)
def test_a_wrong_command_line_is_refused(askd, arguments, message):
    status, _, errors = askd('check', *arguments)
    assert status == 1 and message in errors
