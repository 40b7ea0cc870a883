"""Submission files: what is written comes back, and what is malformed is named with its line."""

import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from askd_mmdet.detection.submission import LAYOUT, iterate_submission, read_detections, write_detections
from tests.detection.mutations import mutations

FLOATS = st.floats(-1e6, 1e6, width=32)


def put(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@settings(max_examples=50, deadline=None)
@given(rows=arrays(np.float32, st.tuples(st.integers(0, 6), st.just(5)), elements=FLOATS))
def test_float32_comes_back_as_it_was(tmp_path_factory, rows):
    folder = tmp_path_factory.getbasetemp() / 'round_trip'
    write_detections(folder, '0--Parade/a', rows[:, :4], rows[:, 4])
    boxes, scores = read_detections(folder / '0--Parade/a.txt')
    assert boxes.dtype == scores.dtype == np.float64
    assert np.array_equal(boxes.astype(np.float32), rows[:, :4])
    assert np.array_equal(scores.astype(np.float32), rows[:, 4])


def test_close_scores_keep_their_order(tmp_path):
    scores = np.float32(0.9) + np.arange(5, dtype=np.float32) * np.spacing(np.float32(0.9))
    write_detections(tmp_path, 'e/a', np.ones((5, 4)), scores)
    assert (np.diff(read_detections(tmp_path / 'e/a.txt')[1]) > 0).all()


def test_the_written_file(tmp_path):
    # A name with a dot, and one that ends in the letters of ".jpg".
    write_detections(tmp_path, '0--Parade/a.b_jpg', [[1, 2.5, 30, 40.125]], [0.75])
    assert (tmp_path / '0--Parade/a.b_jpg.txt').read_text() == 'a.b_jpg\n1\n1 2.5 30 40.125 0.75\n'
    write_detections(str(tmp_path), '0--Parade/a.b_jpg', np.zeros((0, 4)), np.zeros(0))
    assert (tmp_path / '0--Parade/a.b_jpg.txt').read_text() == 'a.b_jpg\n0\n'
    assert dict(iterate_submission(tmp_path)) == {'0--Parade/a.b_jpg': tmp_path / '0--Parade/a.b_jpg.txt'}


def test_an_interrupted_write_leaves_the_old_file(tmp_path, monkeypatch):
    write_detections(tmp_path, 'e/a', [[1, 2, 3, 4]], [0.5])

    def stop(*paths):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, 'replace', stop)
    with pytest.raises(KeyboardInterrupt):
        write_detections(tmp_path, 'e/a', [[5, 6, 7, 8]], [0.9])
    assert read_detections(tmp_path / 'e/a.txt')[1].tolist() == [0.5]
    assert list(dict(iterate_submission(tmp_path))) == ['e/a']


@pytest.mark.parametrize('first', ['a', 'a.jpg', '0--Parade/a.jpg', ''])
@pytest.mark.parametrize('end', ['', '\n', '\r\n', '\n\n'])
def test_files_of_other_detectors(tmp_path, first, end):
    path = put(tmp_path / 'a.txt', f'{first}\n 2 \n1 2 3 4 0.5\n-1.5\t2e1 3  4 9e-01 {end}')
    boxes, scores = read_detections(path)
    assert boxes.tolist() == [[1, 2, 3, 4], [-1.5, 20, 3, 4]] and scores.tolist() == [0.5, 0.9]
    boxes, scores = read_detections(put(path, f'{first}\n0{end}'))
    assert boxes.shape == (0, 4) and scores.shape == (0,)


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('', ":2: found 'the end of the file'"),
        ('a\n', ":2: found 'the end of the file'"),
        ('a\n2\n1 2 3 4 0.5\n', ":2: found '2', expected 1"),
        ('a\n1\n1 2 3 4 0.5\n1 2 3 4 0.5\n', ":2: found '1', expected 2"),
        ('a\n1 2 3 4 0.5\n', ":2: found '1 2 3 4 0.5', expected 0"),
        ('a\n-1\n', ":2: found '-1', expected 0"),
        ('a\n2\n1 2 3 4 0.5\n1 2 3 4\n', ":4: found '1 2 3 4', expected five finite numbers"),
        # As many numbers as there should be, but on the wrong lines.
        ('a\n2\n1 2 3 4\n1 2 3 4 5 6\n', ":3: found '1 2 3 4', expected five"),
        ('a\n2\n1 2 3 4 5 6\n1 2 3 4 5 6\n', ":3: found '1 2 3 4 5 6', expected five"),
        ('a\n2\n1 2 3 4 0.5\n\n1 2 3 4 0.5', ":2: found '2', expected 3"),
        ('a\n3\n1 2 3 4 0.5\n\n1 2 3 4 0.5', ":4: found '', expected five"),
        ('a\n2\n1 2 3 4 0.5\n1 2 3 4 nan\n', ":4: found '1 2 3 4 nan', expected five finite"),
        ('a\n1\n1 2 inf 4 0.5\n', ":3: found '1 2 inf 4 0.5', expected five finite"),
        ('a\n1\n1 2 3 4 high\n', ":3: found '1 2 3 4 high', expected five"),
        ('a\n1\n1,2,3,4,0.5\n', ":3: found '1,2,3,4,0.5', expected five"),
        ('a\n1\n1 2 3 4 0.5 # sure\n', ":3: found '1 2 3 4 0.5 # sure', expected five"),
        # What Python's float takes for a number.
        ('a\n1\n1_0 2 3 4 0.5\n', ":3: found '1_0 2 3 4 0.5', expected five"),
        ('a\n2\n1 2 3 4 0.5\n\uff11 \u0663 3 4 0.5\n', ":4: found '\uff11 \u0663 3 4 0.5', expected five"),
        ('a\n\uff11\n1 2 3 4 0.5\n', ":2: found '\uff11', expected 1"),
        ('a\n1\n1 2 3 4 1e999\n', ":3: found '1 2 3 4 1e999', expected five finite"),
        ('a\n1\n1 2 3\x004 5 0.5\n', ":3: found '1 2 3\\x004 5 0.5', expected five"),
    ],
)
def test_malformed_files_are_named_with_their_line(tmp_path, text, message):
    path = put(tmp_path / 'a.txt', text)
    with pytest.raises(ValueError) as caught:
        read_detections(path)
    assert str(caught.value).startswith(f'{path}{message}')


def test_damaged_bytes_are_named_with_their_line(tmp_path):
    path = tmp_path / 'a.txt'
    path.write_bytes(b'a\n1\n1 2 3 \xff 0.5\n')
    with pytest.raises(ValueError, match=r'a\.txt:3: found'):
        read_detections(path)


def test_a_byte_order_mark_is_dropped(tmp_path):
    for text in ('a\n1\n1 2 3 4 0.5\n', '\n1\n1 2 3 4 0.5\n'):
        (tmp_path / 'a.txt').write_text(text, encoding='utf-8-sig')
        assert read_detections(tmp_path / 'a.txt')[0].tolist() == [[1, 2, 3, 4]]


def test_mutated_files_are_read_by_their_own_numbers_or_named(tmp_path):
    rows = np.column_stack([np.random.default_rng(0).uniform(-9, 900, (6, 4)), np.linspace(0, 1, 6)])
    write_detections(tmp_path, 'e/a', rows[:, :4], rows[:, 4])
    path = tmp_path / 'e/a.txt'
    for content in mutations(path.read_bytes(), 500):
        path.write_bytes(content)
        try:
            boxes, scores = read_detections(path)
        except ValueError as error:
            assert str(error).startswith(f'{path}:')
        else:
            fields = [line.split() for line in content.splitlines()[2:]]
            assert np.column_stack([boxes, scores]).tolist() == [[float(field) for field in row] for row in fields]


def test_images_of_a_submission(tmp_path):
    for name in ('1--Riot/b.txt', '0--Parade/c.d.txt', '0--Parade/a.txt', 'notes.txt', '1--Riot/b.txt.12.part'):
        put(tmp_path / name, '')
    for hidden in ('0--Parade/._a.txt', '.ipynb_checkpoints/a-checkpoint.txt'):
        put(tmp_path / hidden, '')
    assert list(iterate_submission(tmp_path)) == [
        ('0--Parade/a', tmp_path / '0--Parade/a.txt'),
        ('0--Parade/c.d', tmp_path / '0--Parade/c.d.txt'),
        ('1--Riot/b', tmp_path / '1--Riot/b.txt'),
    ]


def test_other_layouts_are_explained(tmp_path):
    for folder, message in ((tmp_path, 'is no folder with text files'), (tmp_path / 'nowhere', 'is no folder with')):
        with pytest.raises(FileNotFoundError, match=message) as caught:
            list(iterate_submission(folder))
        assert str(folder) in str(caught.value) and LAYOUT in str(caught.value)
    put(tmp_path / 'a.txt', '')
    with pytest.raises(FileNotFoundError, match='has text files, but none in an event folder'):
        list(iterate_submission(tmp_path))
