"""`askd align` on a real face, with landmarks from a file and from MTCNN."""

import os
import subprocess

import cv2
import numpy as np
import pytest
from skimage.data import astronaut

from askd_mmdet.recognition.alignment import align
from tests.toy_run import COMMAND

# Of the astronaut's face, measured by eye to a pixel or two.
LANDMARKS = [(205, 102), (247, 104), (225, 129), (202, 139), (245, 142)]
FACE = astronaut()[..., ::-1]


@pytest.fixture
def tool(askd):
    """Runs the command in this process; returns its exit status, output and error output."""
    return lambda *arguments: askd('align', *arguments)


def line(name, points):
    return ','.join([name, *(str(value) for point in points for value in point)])


@pytest.fixture
def source(tmp_path):
    """A face as PNG and as JPEG with a name in capitals, a picture without a face, and a truncated one."""
    folder = tmp_path / 'source'
    (folder / 'a b').mkdir(parents=True)
    cv2.imwrite(str(folder / 'a b/face.png'), FACE)
    cv2.imwrite(str(folder / 'FACE.JPG'), FACE)
    cv2.imwrite(str(folder / 'black.png'), np.zeros((64, 64, 3), np.uint8))
    (folder / 'cut.png').write_bytes((folder / 'a b/face.png').read_bytes()[:9000])
    (folder / 'notes.txt').write_text('no picture')
    (folder / '._face.png').write_bytes(b'')
    return folder


@pytest.mark.parametrize('header', [True, False])
def test_landmarks_from_a_file(tool, source, tmp_path, header):
    second = [(x + 100, y + 100) for x, y in LANDMARKS]
    lines = [
        *(['path,' + ','.join(f'{axis}{i}' for i in range(1, 6) for axis in 'xy')] if header else []),
        line('a b/face.png', LANDMARKS),
        line('a b/face.png', second),
        line('./FACE.JPG', LANDMARKS),
        line('cut.png', LANDMARKS),
        line('gone.png', LANDMARKS),
    ]
    (tmp_path / 'landmarks.csv').write_text('\ufeff' + '\n'.join(lines) + '\n', encoding='utf-8')
    dest = tmp_path / 'dest'
    arguments = (source, dest, '--landmarks', tmp_path / 'landmarks.csv', '--size', 96)
    status, output, _ = tool(*arguments)
    assert status == 0 and '2 crops written, 0 were there, 3 skipped' in output
    skipped = dict(line.split('\t') for line in (dest / 'skipped.txt').read_text().splitlines())
    assert skipped == {
        'black.png': 'no face',
        'cut.png': 'cannot be read',
        'gone.png': f'no such picture in {source}',
    }
    assert all(f'{name}\t{reason}\n' in output for name, reason in skipped.items())
    written = {path.relative_to(dest).as_posix() for path in dest.rglob('*') if path.is_file()}
    assert written == {'a b/face.png', 'FACE.JPG', 'skipped.txt'}
    # The first face of the picture, in BGR.
    expected = align(FACE, np.array(LANDMARKS), 96)
    np.testing.assert_array_equal(cv2.imread(str(dest / 'a b/face.png')), expected)
    assert np.abs(cv2.imread(str(dest / 'FACE.JPG')).astype(float) - expected).mean() < 4

    # Called again it writes what is missing, and leaves alone what is there.
    (dest / 'FACE.JPG').unlink()
    (dest / 'a b/face.png').write_bytes(b'mine')
    assert '1 crops written, 1 were there, 3 skipped' in tool(*arguments)[1]
    assert (dest / 'a b/face.png').read_bytes() == b'mine' and (dest / 'FACE.JPG').is_file()


def test_landmarks_outside_of_a_picture_skip_it_alone(tool, source, tmp_path):
    lines = [line('black.png', LANDMARKS), line('FACE.JPG', LANDMARKS)]
    (tmp_path / 'landmarks.csv').write_text('\n'.join(lines))
    status, output, _ = tool(source, tmp_path / 'dest', '--landmarks', tmp_path / 'landmarks.csv')
    assert status == 0 and '1 crops written' in output
    assert 'outside of the image of 64x64 pixels' in (tmp_path / 'dest/skipped.txt').read_text()


@pytest.mark.parametrize(
    'text, message',
    [
        ('face.png,1,2,3\n', "found 'face.png,1,2,3', expected a path and ten numbers"),
        ('face.png,1,2,3,4,5,6,7,8,9,x\n', 'expected a path and ten numbers'),
        *(
            (f'face.png,1,2,3,4,5,6,7,8,9,{number}\n', 'expected a path and ten numbers')
            for number in ('\u0663', '1_0', 'nan', '1e999')
        ),
        (line('a.png', LANDMARKS) + '\npath,x1,y1,x2,y2,x3,y3,x4,y4,x5,y5\n', "found 'path,x1"),
    ],
)
def test_a_malformed_file_is_refused(tool, source, tmp_path, text, message):
    (tmp_path / 'landmarks.csv').write_text(text)
    status, output, errors = tool(source, tmp_path / 'dest', '--landmarks', tmp_path / 'landmarks.csv')
    assert status == 1 and message in errors and output == ''
    assert not (tmp_path / 'dest').exists()


def test_mistakes_on_the_command_line(tool, source, tmp_path):
    (tmp_path / 'empty').mkdir()
    for arguments, message in (
        ((tmp_path / 'nowhere', tmp_path / 'dest'), 'nowhere is no folder'),
        ((source, source / 'crops'), 'name a folder elsewhere'),
        ((tmp_path / 'empty', tmp_path / 'dest'), 'empty holds no picture'),
        ((source, tmp_path / 'dest', '--size', 0), 'found size=0, expected at least 1'),
        ((source, tmp_path / 'dest', '--landmarks', tmp_path / 'nowhere.csv'), 'nowhere.csv'),
    ):
        status, output, errors = tool(*arguments)
        assert status == 1 and message in errors and output == ''


def test_without_mtcnn_and_without_a_file_it_says_how_to_go_on(root, source, tmp_path):
    # A package that cannot be imported stands before any installed copy.
    (tmp_path / 'facenet_pytorch').mkdir()
    (tmp_path / 'facenet_pytorch/__init__.py').write_text("raise ModuleNotFoundError('hidden by a test')")
    done = subprocess.run(
        [*COMMAND, 'align', source, tmp_path / 'dest'],
        cwd=root,
        env=dict(os.environ, PYTHONPATH=f'{tmp_path}{os.pathsep}{root}'),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1 and 'Traceback' not in done.stderr
    assert "pip install 'askd_mmdet[align]'" in ' '.join(done.stderr.split())


def test_mtcnn_finds_the_face(tool, source, tmp_path):
    pytest.importorskip('facenet_pytorch', reason='facenet-pytorch is not installed')
    cv2.imwrite(str(source / 'tiny.png'), FACE[:12])
    status, output, _ = tool(source, tmp_path / 'dest')
    assert status == 0 and '2 crops written, 0 were there, 3 skipped' in output
    skipped = (tmp_path / 'dest/skipped.txt').read_text()
    assert skipped == 'black.png\tno face\ncut.png\tcannot be read\ntiny.png\tno face\n'
    # The eyes were measured by eye: the crops agree but for a pixel or two.
    crop = cv2.imread(str(tmp_path / 'dest/a b/face.png')).astype(float)
    expected = align(FACE, np.array(LANDMARKS)).astype(float)
    assert np.corrcoef(crop.ravel(), expected.ravel())[0, 1] > 0.97
