"""Landmarks of the face that a box is drawn around, by MTCNN."""

import cv2
import numpy as np
import pytest
from skimage.data import astronaut

from askd_mmdet.recognition.cropping import landmark_finder

# Of the astronaut's face, measured by eye to a pixel or two, and its box.
LANDMARKS = np.array([(205, 102), (247, 104), (225, 129), (202, 139), (245, 142)])
BOX = np.array([182, 62, 268, 178])


@pytest.fixture(scope='module')
def find():
    pytest.importorskip('facenet_pytorch', reason='facenet-pytorch is not installed')
    return landmark_finder()


@pytest.mark.parametrize('factor', [0.25, 1, 4])
def test_a_face_of_any_size_among_others_gets_its_own_landmarks(find, factor):
    face = astronaut()[..., ::-1][:256, 100:356]
    kernel = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    small = cv2.resize(face, None, fx=factor, fy=factor, interpolation=kernel)
    other = cv2.resize(face, None, fx=2 * factor, fy=2 * factor)  # a larger face on the right
    image = cv2.copyMakeBorder(small, 0, len(other) - len(small), 0, 0, cv2.BORDER_REPLICATE)
    image = np.hstack([image, other])
    landmarks = find(image, (BOX - (100, 0, 100, 0)) * factor)
    assert landmarks.shape == (5, 2)
    assert np.abs(landmarks / factor - (LANDMARKS - (100, 0))).max() < 6


def test_where_there_is_no_face_there_are_none(find):
    image = astronaut()[..., ::-1]
    assert find(image, (300, 300, 380, 400)) is None
    assert find(image, (170, 40, 200, 70)) is None  # hair beside the face
    assert find(np.zeros((4, 4, 3), np.uint8), (0, 0, 4, 4)) is None
    assert find(image, (600, 600, 700, 700)) is None  # beyond the border
    assert find(np.zeros((1, 500, 3), np.uint8), (0, 0, 500, 1)) is None
