"""`askd score` on submissions of known AP, and on what people hand it by mistake."""

import json
import re
import shutil
import subprocess

import numpy as np
import pytest

from askd_mmdet.detection.submission import LAYOUT, read_detections, write_detections
from askd_mmdet.detection.wider_face_dataset import read_annotations
from tests.toy_run import COMMAND


@pytest.fixture(scope='module')
def ground_truth(toy_data):
    return toy_data / 'eval_tools/ground_truth'


@pytest.fixture
def submission(toy_data, tmp_path):
    """All faces of the toy validation set, and in the first picture a better score beside a face."""
    folder = tmp_path / 'submission'
    for i, (name, boxes, _) in enumerate(read_annotations(toy_data / 'wider_face_split/wider_face_val_bbx_gt.txt')):
        rows = [(*box, 0.5) for box in boxes.tolist()] + ([(-500, 0, 9, 9, 0.9)] if i == 0 else [])
        path = (folder / name).with_suffix('.txt')
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = [path.stem, str(len(rows)), *(' '.join(map(str, row)) for row in rows)]
        path.write_text('\n'.join(lines) + '\n')
    return folder


@pytest.fixture
def tool(askd, ground_truth):
    """Runs the command in this process; returns its exit status, output and error output."""
    return lambda *arguments, gt=ground_truth: askd('score', *arguments, '--gt', gt)


def files(submission):
    return sorted(submission.glob('*/*.txt'))


def table(output):
    return [float(cell) for cell in re.search(r'\|---\|---\|---\|\n\| (.*) \|', output).group(1).split(' | ')]


def test_numbers(toy_data, submission, tool, tmp_path):
    counts = json.loads((toy_data / 'toy.json').read_text())['counts']
    status, output, _ = tool(submission, '--json', tmp_path / 'new/ap.json')
    assert status == 0
    # n faces behind one false positive: precision n / (n + 1) at recall 1.
    expected = [counts[setting] / (counts[setting] + 1) for setting in ('easy', 'medium', 'hard')]
    assert table(output) == pytest.approx([100 * ap for ap in expected], abs=0.005)
    assert f'{counts["val_images"]} images, {counts["val_faces"] + 1} detections' in output
    report = json.loads((tmp_path / 'new/ap.json').read_text())
    assert [report[setting] for setting in ('easy', 'medium', 'hard')] == pytest.approx([100 * ap for ap in expected])
    assert (report['images'], report['detections']) == (counts['val_images'], counts['val_faces'] + 1)
    assert report['missing'] == report['unknown'] == []


@pytest.mark.parametrize(
    ('word', 'change'),
    [
        (None, lambda boxes: boxes),
        ('normalised', lambda boxes: boxes / 96),
        ('corners', lambda boxes: np.hstack([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]])),
        ('resized', lambda boxes: boxes * 2.5),
    ],
)
def test_a_wrong_format_gets_a_hint_beside_its_ap(submission, tool, tmp_path, word, change):
    for path in files(submission):
        boxes, scores = read_detections(path)
        write_detections(
            submission, f'{path.parent.name}/{path.stem}', change(boxes[scores < 0.9]), scores[scores < 0.9]
        )
    status, output, _ = tool(submission, '--json', tmp_path / 'ap.json')
    assert status == 0 and len(table(output)) == 3
    hint = json.loads((tmp_path / 'ap.json').read_text())['hint']
    if word:
        assert word in hint and f'hint: {hint}\n' in output
    else:
        assert hint is None and 'hint' not in output


def test_missing_files_are_named_and_count_as_missed(submission, tool, tmp_path):
    before = table(tool(submission)[1])
    lost = files(submission)[-1]
    lost.unlink()
    name = f'{lost.parent.name}/{lost.stem}'
    status, output, errors = tool(submission, '--json', tmp_path / 'ap.json')
    assert status == 0
    assert f'warning: 1 images have no file and count as missed: {name}\n' in errors
    assert table(output)[2] < before[2]
    assert json.loads((tmp_path / 'ap.json').read_text())['missing'] == [name]


def test_unknown_files_are_named(submission, tool, tmp_path):
    expected = table(tool(submission)[1])
    for i in range(7):
        shutil.copy(files(submission)[0], submission / f'0--Brick/other_{i}.txt')
    status, output, errors = tool(submission, '--json', tmp_path / 'ap.json')
    assert status == 1 and output == '' and not (tmp_path / 'ap.json').exists()
    names = ', '.join(f'0--Brick/other_{i}' for i in range(5))
    assert '7 files of images that' in errors and f'{names}, ...; check' in errors and '--ignore-unknown' in errors
    status, output, errors = tool(submission, '--ignore-unknown', '--json', tmp_path / 'ap.json')
    assert status == 0 and table(output) == expected
    assert f'warning: 7 images left out: {names}, ...\n' in errors
    assert len(json.loads((tmp_path / 'ap.json').read_text())['unknown']) == 7


def test_mistakes_are_one_message_without_traceback(submission, tool, ground_truth, tmp_path):
    flat = tmp_path / 'flat'
    flat.mkdir()
    shutil.copy(files(submission)[0], flat)
    malformed = shutil.copytree(submission, tmp_path / 'malformed')
    path = files(malformed)[1]
    path.write_text('a\n1\n1 2 3\n')
    incomplete = shutil.copytree(ground_truth, tmp_path / 'ground_truth')
    (incomplete / 'wider_easy_val.mat').unlink()
    for arguments, gt, message in (
        ((flat,), ground_truth, LAYOUT),
        ((tmp_path / 'nowhere',), ground_truth, 'nowhere is no folder'),
        ((submission,), tmp_path / 'nowhere', 'nowhere has no wider_face_val.mat'),
        ((submission,), incomplete, 'has no wider_easy_val.mat; '),
        ((malformed,), ground_truth, f'{path}:3: found'),
        ((submission, '--json', files(submission)[0] / 'ap.json'), ground_truth, str(files(submission)[0])),
    ):
        status, output, errors = tool(*arguments, gt=gt)
        assert status == 1 and output == ''
        last = errors[errors.index('error: ') :]
        assert message in last and 'Traceback' not in last


def test_the_command_on_real_ground_truth(real_wider_face, tmp_path):
    rng = np.random.default_rng(0)
    for name, boxes, _ in read_annotations(real_wider_face / 'sample/wider_face_val_bbx_gt.txt'):
        path = (tmp_path / name).with_suffix('.txt')
        path.parent.mkdir(exist_ok=True)
        rows = [' '.join(map(str, (*box, score))) for box, score in zip(boxes.tolist(), rng.random(len(boxes)))]
        path.write_text('\n'.join([name, str(len(rows)), *rows]))
    command = [*COMMAND, 'score', tmp_path, '--gt']
    command.append(real_wider_face / 'sample/ground_truth')
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert table(done.stdout) == [100, 100, 100]
    # No terminal: a line now and then, not one for every step.
    assert 'scoring' in done.stderr and len(done.stderr) < 1000
