"""Photographs become galleries as detecting, cutting out and embedding by hand do."""

import sys
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from skimage.data import astronaut, lfw_subset

from askd_mmdet.analysis.photographs import embed_photographs, find_faces
from askd_mmdet.recognition.alignment import TEMPLATE, align, align_box

SIDE = 50


class Bright:
    """A detector of whatever is not black, the largest first."""

    def detect(self, images):
        return [self.of(image) for image in images]

    def of(self, image):
        _, _, stats, _ = cv2.connectedComponentsWithStats((image.max(2) > 0).astype(np.uint8))
        x, y, w, h, area = stats[1:][np.argsort(-stats[1:, 4], kind='stable')].T
        return SimpleNamespace(boxes=np.stack([x, y, x + w, y + h], 1).astype(np.float32), scores=area / area.sum())


class Means:
    """An embedder whose features are the mean colours of a crop's quarters."""

    fingerprint = 'means'

    def embed(self, images, batch_size):
        assert batch_size == 3 and all(image.shape == (112, 112, 3) and image.dtype == np.uint8 for image in images)
        features = np.stack([cv2.resize(image, (2, 2), interpolation=cv2.INTER_AREA).ravel() for image in images])
        return (features / np.linalg.norm(features, axis=1, keepdims=True)).astype(np.float32)


def face(i):
    return cv2.resize((255 * lfw_subset()[i]).astype(np.uint8), (SIDE, SIDE)).clip(1)[..., None].repeat(3, 2)


@pytest.fixture
def photographs(tmp_path):
    """Two faces, none, one in a folder with a name in German, and a damaged file."""
    two, none, one = np.zeros((3, 120, 200, 3), np.uint8)
    two[20 : 20 + SIDE, 10 : 10 + SIDE] = face(0)
    two[30:70, 120:160] = face(1)[:40, :40]
    one[40 : 40 + SIDE, 100 : 100 + SIDE] = face(2)
    (tmp_path / 'größer als').mkdir()
    for name, picture in (('a.png', two), ('b.png', none), ('größer als/c.png', one)):
        (tmp_path / name).write_bytes(cv2.imencode('.png', picture)[1].tobytes())
    (tmp_path / 'cut.png').write_bytes((tmp_path / 'a.png').read_bytes()[:200])
    return tmp_path


@pytest.fixture
def no_mtcnn(monkeypatch):
    monkeypatch.setitem(sys.modules, 'facenet_pytorch', None)


def test_a_folder_becomes_a_gallery(photographs, no_mtcnn, capsys):
    faces, unreadable, without_face, by_box = embed_photographs(Bright(), Means(), photographs, batch_size=3)
    assert 'MTCNN is not installed' in capsys.readouterr().err
    assert faces.names == ['a.png#0', 'a.png#1', 'größer als/c.png#0']
    assert (unreadable, without_face, by_box) == (['cut.png'], ['b.png'], 3)
    assert (faces.folder, faces.fingerprint) == (str(photographs), 'means')
    boxes = [(10, 20, 60, 70), (120, 30, 160, 70), (100, 40, 150, 90)]
    assert faces.boxes.dtype == np.float32 and faces.boxes.tolist() == [list(box) for box in boxes]
    crops = [
        align_box(cv2.imdecode(np.fromfile(faces.path(i), np.uint8), cv2.IMREAD_COLOR), box)
        for i, box in enumerate(boxes)
    ]
    np.testing.assert_array_equal(faces.embeddings, Means().embed(crops, 3))


def test_names_choose_photographs(photographs, no_mtcnn):
    faces = embed_photographs(Bright(), Means(), photographs, ['größer als/c.png'], batch_size=3).faces
    assert faces.names == ['größer als/c.png#0'] and len(faces.embeddings) == 1


def test_landmarks_align_and_where_there_are_none_the_box_frames(photographs):
    image = cv2.imread(str(photographs / 'a.png'))
    points = TEMPLATE / 112 * SIDE + (10, 20)

    def left_half(picture, box):
        assert picture.shape == image.shape
        return points if box[0] < 100 else None

    boxes, crops, by_box = find_faces(image, Bright(), left_half)
    assert len(boxes) == 2 and by_box == 1
    np.testing.assert_array_equal(crops[0], align(image, points))
    np.testing.assert_array_equal(crops[1], align_box(image, boxes[1]))


def test_mtcnn_aligns_where_it_is_installed(tmp_path, monkeypatch):
    """With a stand-in that sees the landmarks of the template, in whatever it is shown."""
    shown = []

    class Template:
        def __init__(self, **settings):
            pass

        def detect(self, image, landmarks):
            shown.append(image.shape)
            return np.float32([(32, 32, 96, 96)]), [1], TEMPLATE[None] / 112 * 64 + 32

    monkeypatch.setitem(sys.modules, 'facenet_pytorch', SimpleNamespace(MTCNN=Template))
    picture = np.zeros((200, 200, 3), np.uint8)
    picture[75:125, 60:110] = face(0)
    (tmp_path / 'a.png').write_bytes(cv2.imencode('.png', picture)[1].tobytes())
    faces, _, _, by_box = embed_photographs(Bright(), Means(), tmp_path, batch_size=3)
    assert by_box == 0 and shown == [(128, 128, 3)]
    expected = Means().embed([align(picture, TEMPLATE / 112 * SIDE + (60, 75))], 3)
    np.testing.assert_allclose(faces.embeddings, expected, atol=0.01)


def test_boxes_of_less_than_a_pixel_are_no_faces():
    boxes = np.float32([(5, 5, 5.5, 30), (5, 5, 30, 5), (9, 9, 8, 8), (5, 5, 30, 30)])
    detector = SimpleNamespace(detect=lambda images: [SimpleNamespace(boxes=boxes)])
    assert find_faces(astronaut(), detector).boxes.tolist() == [[5, 5, 30, 30]]


def test_where_there_is_nothing_it_says_so(photographs, tmp_path, no_mtcnn):
    with pytest.raises(ValueError, match=r'no face in 2 photographs of .*, 1 of which cannot be read: b.png, cut.png'):
        embed_photographs(Bright(), Means(), photographs, ['b.png', 'cut.png'])
    with pytest.raises(ValueError, match='no face in 1 photographs'):
        embed_photographs(Bright(), Means(), photographs, ['cut.png'])
    (tmp_path / 'empty').mkdir()
    with pytest.raises(FileNotFoundError, match='empty holds no picture'):
        embed_photographs(Bright(), Means(), tmp_path / 'empty')
