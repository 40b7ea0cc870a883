"""Splitting the real sample: nothing lost, nothing in both parts, the ground truth cut to what is held out."""

import subprocess
import sys

import numpy as np

from askd_mmdet.detection.wider_face_dataset import read_annotations
from askd_mmdet.detection.wider_face_protocol import load_ground_truth
from tests.toy_run import ROOT


def call(*args):
    command = [sys.executable, ROOT / 'tools/split_wider_face.py', *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, timeout=100)


def test_the_parts_make_the_whole(real_wider_face, tmp_path):
    sample = real_wider_face / 'sample'
    source = (sample / 'images', sample / 'wider_face_val_bbx_gt.txt', sample / 'ground_truth')
    done = call(*source, tmp_path / 'parts', '--every', 5)
    assert done.returncode == 0, done.stderr
    split = tmp_path / 'parts/wider_face_split'
    parts = [read_annotations(split / f'wider_face_{part}_bbx_gt.txt') for part in ('train', 'val')]
    whole = {name: np.hstack([boxes, attributes]) for name, boxes, attributes in read_annotations(source[1])}
    assert len(parts[1]) == -(-len(whole) // 5)  # the first of every five
    assert sorted(name for part in parts for name, *_ in part) == sorted(whole)
    for part, annotations in zip(('train', 'val'), parts):
        for name, boxes, attributes in annotations:
            np.testing.assert_array_equal(np.hstack([boxes, attributes]), whole[name])
            copy = tmp_path / f'parts/WIDER_{part}/images' / name
            assert copy.read_bytes() == (source[0] / name).read_bytes()

    truth, cut = load_ground_truth(source[2]), load_ground_truth(tmp_path / 'parts/eval_tools/ground_truth')
    assert cut.keys() == {name.rsplit('.', 1)[0] for name, *_ in parts[1]}
    for name, faces in cut.items():
        np.testing.assert_array_equal(faces.boxes, truth[name].boxes)
        np.testing.assert_array_equal(faces.kept, truth[name].kept)

    again = call(*source, tmp_path / 'parts')
    assert again.returncode == 2 and 'exists already' in again.stderr and 'Traceback' not in again.stderr


def test_a_picture_that_comes_twice_is_named(toy_data, tmp_path):
    annotation = tmp_path / 'annotation.txt'
    lines = (toy_data / 'wider_face_split/wider_face_val_bbx_gt.txt').read_text()
    name = lines.split('\n')[0]
    annotation.write_text(f'{lines.rstrip()}\n{name}\n0\n')
    done = call(toy_data / 'WIDER_val/images', annotation, toy_data / 'eval_tools/ground_truth', tmp_path / 'parts')
    assert done.returncode == 2 and f'1 pictures more than once: {name}' in done.stderr
    assert not (tmp_path / 'parts').exists()
