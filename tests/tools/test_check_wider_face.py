"""The check of a download against toy downloads that are damaged in known ways, and against real pictures."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from scipy.io import loadmat, savemat

from askd_mmdet.detection.wider_face_dataset import LAYOUT, read_annotations
from askd_mmdet.toy import make_wider_face

VAL = 'wider_face_split/wider_face_val_bbx_gt.txt'
GROUND_TRUTH = 'eval_tools/ground_truth'
MISFIT = 'ground truth that does not fit the annotation'


@pytest.fixture(scope='module')
def toy(tmp_path_factory):
    folder = tmp_path_factory.mktemp('toy') / 'wider_face'
    return folder, make_wider_face(folder, train_images=5, val_images=12, faces_per_image=(1, 3), without_faces=0.2)


@pytest.fixture
def download(toy, tmp_path):
    """A download of one's own, to damage."""
    return shutil.copytree(toy[0], tmp_path / 'wider_face')


@pytest.fixture
def check(root, tmp_path, monkeypatch, capsys):
    """Runs the tool in this process; returns its exit status, output and --json report."""
    monkeypatch.syspath_prepend(str(root / 'tools'))
    from check_wider_face import main

    def run(*arguments):
        report = tmp_path / 'report.json'
        status = main([*map(str, arguments), '--workers', '2', '--json', str(report)])
        return status, capsys.readouterr().out, json.loads(report.read_text())

    return run


def pictures(download, split='val'):
    return sorted((download / f'WIDER_{split}/images').glob('*/*.jpg'))


def test_a_complete_download_is_well(toy, check):
    folder, counts = toy
    status, output, report = check(folder)
    assert status == 0 and 'All is well.' in output
    for split in ('train', 'val'):
        images, faces = counts[f'{split}_images'], counts[f'{split}_faces']
        assert f'{split}: {images} images, {faces} faces' in output
        assert (report[split]['images'], report[split]['faces']) == (images, faces)
        assert report[split]['problems'] == {}
    assert report['train']['notes'] == ['5 images; the official download has 12880']
    assert report['val']['notes'] == ['12 images; the official download has 3226']


def test_damaged_pictures_are_named(download, check):
    missing, empty, text, truncated, cut_header, *_ = pictures(download)
    missing.unlink()
    empty.write_bytes(b'')
    text.write_text('<html>404</html>')
    truncated.write_bytes(truncated.read_bytes()[:-300])
    cut_header.write_bytes(cut_header.read_bytes()[:100])
    status, output, report = check(download)
    assert status == 1 and 'Problems found' in output
    found = {kind: [line.split(': ')[0] for line in lines] for kind, lines in report['val']['problems'].items()}
    assert found['missing pictures'] == [str(missing)]
    assert set(found['unreadable pictures']) == set(map(str, (empty, text, truncated, cut_header)))
    assert report['train']['problems'] == {}

    _, _, report = check(download, '--fast')
    fast = [line.split(': ')[0] for line in report['val']['problems']['unreadable pictures']]
    assert set(fast) == set(map(str, (empty, text, cut_header)))
    assert check(download, '--split', 'train')[0] == 0


def test_a_picture_is_seen_as_the_network_sees_it(download, check):
    """Upright as its EXIF tag says, and not at all where its pixels have no range."""
    lying, floating, *_ = pictures(download, 'train')
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new('RGB', (40, 90)).save(lying, exif=exif)  # seen 90 wide and 40 high
    Image.fromarray(np.zeros((90, 90), np.float32)).save(floating, 'tiff')
    names = [path.relative_to(download / 'WIDER_train/images') for path in (lying, floating)]
    text = f'{names[0]}\n2\n50 0 40 40 0 0 0 0 0 0\n0 50 40 40 0 0 0 0 0 0\n{names[1]}\n1\n1 1 9 9 0 0 0 0 0 0\n'
    (download / 'wider_face_split/wider_face_train_bbx_gt.txt').write_text(text)
    for how in ([], ['--fast']):
        status, _, report = check(download, '--split', 'train', *how)
        assert status == 1 and report['train']['notes'][1:] == ['1 faces that reach outside their pictures']
        (line,) = report['train']['problems']['unreadable pictures']
        assert line.startswith(f"{floating}: pixels of Pillow's mode F have no range")


def test_long_lists_are_cut_but_not_in_the_report(download, check):
    for path in pictures(download)[:8]:
        path.unlink()
    _, output, report = check(download, '--split', 'val', '--show', 3)
    assert '8 missing pictures:' in output and '... and 5 more' in output
    assert sum(line.endswith('.jpg') for line in output.splitlines()) == 3
    assert len(report['val']['problems']['missing pictures']) == 8


@pytest.mark.parametrize(
    'missing',
    ['WIDER_val/images', VAL, f'{GROUND_TRUTH}/wider_face_val.mat', f'{GROUND_TRUTH}/wider_hard_val.mat', GROUND_TRUTH],
)
def test_missing_parts_are_named_and_the_layout_shown(download, check, missing):
    lost = download / missing
    shutil.rmtree(lost) if lost.is_dir() else lost.unlink()
    status, output, report = check(download)
    assert status == 1 and LAYOUT in output
    absent = report['val']['problems'].pop('missing files and folders')
    assert len(absent) == (4 if missing == GROUND_TRUTH else 1)
    assert all(path.startswith(str(lost)) for path in absent)
    assert report['val']['problems'] == {} and report['train']['problems'] == {}


def test_a_malformed_annotation_is_named(download, check):
    path = download / VAL
    path.write_text(path.read_text().rsplit('\n', 3)[0] + '\n1 2 3')
    status, _, report = check(download)
    assert status == 1
    assert [line.split(': ')[0].rsplit(':', 1)[0] for line in report['val']['problems']['malformed annotation']] == [
        str(path)
    ]


def test_odd_boxes_are_noted_and_no_problem(download, check):
    # Pictures of 160x160 pixels.
    rows = ['0 0 160 160', '150 10 11 5', '10 -1 5 5', '10 156 5 5', '9 9 0 4', '9 9 4 0', '9 9 -2 4']
    name = pictures(download, 'train')[0].relative_to(download / 'WIDER_train/images')
    lines = [str(name), str(len(rows)), *(f'{row} 0 0 0 0 0 0' for row in rows)]
    (download / 'wider_face_split/wider_face_train_bbx_gt.txt').write_text('\n'.join(lines))
    status, _, report = check(download, '--split', 'train')
    assert status == 0
    assert report['train']['notes'][1:] == [
        '3 faces without width or height, which the data set leaves out',
        '3 faces that reach outside their pictures',
    ]


def change_ground_truth(download, change):
    """Hand the variables of each of the four .mat files to a function that changes them."""
    for path in (download / GROUND_TRUTH).iterdir():
        truth = {key: value for key, value in loadmat(path).items() if key[0] != '_'}
        change(truth)
        savemat(path, truth)


def test_ground_truth_that_does_not_fit_is_named(download, check):
    annotation = read_annotations(download / VAL)
    (renamed, _, _), (other, boxes, _) = (next(image for image in annotation if image[0].startswith(e)) for e in '01')
    faces = len(boxes)

    def change(truth):
        truth['file_list'][0, 0][0, 0] = 'another'
        event = [cell.item() for cell in truth['event_list'][:, 0]].index(other.split('/')[0])
        truth['face_bbx_list'][event, 0][0, 0] = np.ones((faces + 1, 4))

    change_ground_truth(download, change)
    status, _, report = check(download, '--split', 'val')
    assert status == 1
    folder = download / GROUND_TRUTH
    event = renamed.split('/')[0]
    assert sorted(report['val']['problems'][MISFIT]) == sorted(
        [
            f'{folder}: {event}/another: faces: {count_in(download, 0)}, in the annotation: no such image',
            f'{folder}: {renamed}: faces: no such image, in the annotation: {count_in(download, 0)}',
            f'{folder}: {other}: faces: {faces + 1}, in the annotation: {faces}',
        ]
    )


def count_in(download, index):
    return len(read_annotations(download / VAL)[index][1])


def test_pictures_go_by_their_real_names(download, check):
    """An annotation of other endings, as in people's own sets: the ground truth knows none."""
    picture, misspelled, *_ = pictures(download)
    text = (download / VAL).read_text()
    for path, ending, written in ((picture, '.png', '.png'), (misspelled, '.JPG', '.jpg')):
        path.rename(path.with_suffix(ending))
        text = text.replace(path.name, path.with_suffix(written).name)
    (download / VAL).write_text(text)
    status, _, report = check(download, '--split', 'val')
    assert status == 1
    assert report['val']['problems'] == {
        'missing pictures': [f'{misspelled}: there is {misspelled.with_suffix(".JPG").name}']
    }


def test_images_that_come_twice_are_named(download, check):
    name = str(pictures(download)[0].relative_to(download / 'WIDER_val/images'))
    text = (download / VAL).read_text()
    (download / VAL).write_text(f'{text.rstrip()}\n{name}\n0\n')
    _, _, report = check(download, '--split', 'val')
    assert report['val']['problems']['images that come more than once in the annotation'] == [f'{name}, {name}']

    def double(truth):
        truth['file_list'][0, 0] = np.repeat(truth['file_list'][0, 0][:1], len(truth['file_list'][0, 0]), 0)

    event = str(pictures(download)[0].parent.name)
    change_ground_truth(download, double)
    _, _, report = check(download, '--split', 'val')
    assert f'has {event}/{pictures(download)[0].stem} 2 times' in report['val']['problems'][MISFIT][0]


def test_a_subset_of_other_images_is_named(download, check):
    path = download / GROUND_TRUTH / 'wider_hard_val.mat'
    savemat(path, dict(gt_list=loadmat(path)['gt_list'][:-1]))
    _, _, report = check(download, '--split', 'val')
    (line,) = report['val']['problems'][MISFIT]
    assert line.startswith(f'{path} lists 11 images')


@pytest.mark.parametrize('name', ['wider_face_val.mat', 'wider_easy_val.mat'])
@pytest.mark.parametrize('damage', [b'', b'no MATLAB file', None])
def test_unreadable_ground_truth_is_named(download, check, name, damage):
    path = download / GROUND_TRUTH / name
    path.write_bytes(path.read_bytes()[:2000] if damage is None else damage)
    status, _, report = check(download, '--split', 'val')
    (line,) = report['val']['problems'][MISFIT]
    assert status == 1 and line.startswith(f'{path} is no ground truth of WIDER FACE')


def test_real_pictures(real_wider_face, tmp_path, check):
    sample, folder = real_wider_face / 'sample', tmp_path / 'wider_face'
    for link, target in [
        ('WIDER_val/images', 'images'),
        (VAL, 'wider_face_val_bbx_gt.txt'),
        (GROUND_TRUTH, 'ground_truth'),
    ]:
        (folder / link).parent.mkdir(parents=True)
        (folder / link).symlink_to(sample / target)
    status, output, report = check(folder, '--split', 'val')
    assert status == 0, output
    mat = loadmat(sample / 'ground_truth/wider_face_val.mat')
    boxes = [faces.item() for event in mat['face_bbx_list'][:, 0] for faces in event]
    assert report['val']['images'] == len(boxes)
    assert report['val']['faces'] == sum(map(len, boxes))


def test_the_tool(root, toy, tmp_path):
    def run(*arguments):
        command = [sys.executable, root / 'tools/check_wider_face.py', *arguments]
        return subprocess.run(list(map(str, command)), capture_output=True, text=True)

    done = run(toy[0])
    assert done.returncode == 0, done.stderr
    assert 'All is well.' in done.stdout and 'ETA' in done.stderr
    usage = run(tmp_path / 'nowhere')
    assert usage.returncode == 2 and 'nowhere is not a folder' in usage.stderr and LAYOUT in usage.stderr


@pytest.mark.parametrize('arguments', [['.', '--split', 'test'], ['.', '--workers', '0'], []])
def test_usage_errors(root, monkeypatch, arguments):
    monkeypatch.syspath_prepend(str(root / 'tools'))
    from check_wider_face import main

    with pytest.raises(SystemExit, match='2'):
        main(arguments)
