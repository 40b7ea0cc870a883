"""Embeddings against the network called by hand, search against a brute-force sort, files that are read as data."""

import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from PIL import Image
from skimage.data import astronaut

from askd_mmdet.degradation import low_resolution
from askd_mmdet.recognition.embedder import FaceEmbedder, Faces, read_faces, search, write_faces
from askd_mmdet.training.model import fingerprint

SIDE = 32


def config(**backbone):
    """A small network that is tested at 4x."""
    return Config(
        dict(
            default_scope='mmpretrain',
            model=dict(
                type='FaceRecognizer',
                data_preprocessor=dict(type='ClsDataPreprocessor', mean=[127.5] * 3, std=[127.5] * 3, to_rgb=False),
                backbone=dict(
                    type='IRResNet', depth=18, base_channels=4, input_size=SIDE, embedding_dims=8, **backbone
                ),
                head=dict(type='ArcFaceHead', num_classes=5, in_channels=8),
            ),
            test_dataloader=dict(
                dataset=dict(
                    type='PairListDataset',
                    pipeline=[
                        dict(type='LoadPicture'),
                        dict(type='Resize', scale=(SIDE, SIDE), interpolation='bicubic'),
                        dict(type='LowResolution', ratio=4, transforms=[dict(type='PackInputs')]),
                    ],
                )
            ),
        )
    )


def build(seed=0):
    torch.manual_seed(seed)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(config().model)
    model.init_weights()
    for norm in model.modules():
        if isinstance(norm, torch.nn.modules.batchnorm._BatchNorm):  # statistics of a network that was trained
            norm.running_mean.normal_(0, 0.1)
            norm.running_var.uniform_(0.5, 2)
    return model.eval()


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp('network') / 'network.pth'
    torch.save(dict(state_dict=build().state_dict()), path)
    return path


@pytest.fixture(scope='module')
def pictures():
    """BGR crops of a real picture, of several sizes."""
    image = astronaut()[..., ::-1]
    return [np.ascontiguousarray(image[60 + i : 180 - i, 170:280]) for i in range(0, 25, 5)]


def by_hand(pictures, ratio=1):
    """Embeddings as the README of the protocol says: normalised features of the picture and its mirror image."""
    model = build()
    rows = []
    for picture in pictures:
        small = low_resolution(cv2.resize(picture, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC), ratio)
        pixels = torch.from_numpy((small / 255 - 0.5) / 0.5).float().permute(2, 0, 1)[None]
        with torch.no_grad():
            feature = torch.cat([model.backbone(pixels)[0], model.backbone(pixels.flip(3))[0]], 1)[0].numpy()
        rows.append(feature / np.sqrt((feature**2).sum()))
    return np.array(rows)


@pytest.mark.parametrize('degrade, ratio', [(False, 1), (True, 4)])
def test_embeddings_are_those_of_the_network_called_by_hand(checkpoint, pictures, degrade, ratio):
    embeddings = FaceEmbedder(config(), checkpoint, 'cpu', degrade).embed(pictures, batch_size=2)
    assert embeddings.dtype == np.float32 and embeddings.shape == (5, 16)
    np.testing.assert_allclose(embeddings, by_hand(pictures, ratio), atol=1e-5)
    other = by_hand(pictures, 5 - ratio)
    assert np.abs(embeddings - other).max() > 1e-2


def test_a_data_set_in_another_and_a_hook_that_degrades_are_known(checkpoint, pictures):
    """As those of a search for hyper-parameters, and of a config that is made a student by hooks."""
    wrapped = config()
    inner = wrapped.test_dataloader.dataset
    wrapped.test_dataloader.dataset = dict(type='held_out_split', dataset=inner, part='held_out')
    hooked = config()
    hooked.test_dataloader.dataset.pipeline[-1:] = [dict(type='PackInputs')]
    hooked.custom_hooks = [dict(type='LowResolutionHook', ratio=4, after='Resize')]
    for degrade in (False, True):
        expected = FaceEmbedder(config(), checkpoint, 'cpu', degrade).embed(pictures)
        for cfg in (wrapped, hooked):
            np.testing.assert_allclose(
                FaceEmbedder(cfg, checkpoint, 'cpu', degrade).embed(pictures), expected, atol=1e-6
            )
    assert np.abs(expected - FaceEmbedder(config(), checkpoint, 'cpu').embed(pictures)).max() > 0.01


def test_a_config_file_and_pictures_in_files_give_the_same(checkpoint, pictures, tmp_path):
    config().dump(tmp_path / 'network.py')
    embedder = FaceEmbedder(tmp_path / 'network.py', checkpoint)
    paths = [tmp_path / f'{i}.png' for i in range(len(pictures))]
    for path, picture in zip(paths, pictures):
        Image.fromarray(picture[..., ::-1]).save(path)
    np.testing.assert_allclose(embedder.embed([paths[0], str(paths[1]), *paths[2:]]), by_hand(pictures), atol=1e-5)


def test_the_config_stays_as_it_was(checkpoint):
    cfg = config()
    FaceEmbedder(cfg, checkpoint)
    assert cfg.to_dict() == config().to_dict()


def test_compare(checkpoint, pictures):
    embedder = FaceEmbedder(config(), checkpoint)
    first, second = by_hand(pictures[:2])
    assert embedder.compare(*pictures[:2]) == pytest.approx(first @ second, abs=1e-5)
    assert embedder.compare(pictures[0], pictures[0]) == pytest.approx(1, abs=1e-6)
    assert embedder.compare(pictures[0], pictures[0]) <= 1
    # Both halves of the embedding change their places in the mirror.
    mirrored = embedder.embed([np.ascontiguousarray(pictures[0][:, ::-1])])[0]
    assert embedder.embed(pictures[:1])[0] == pytest.approx(np.roll(mirrored, 8), abs=1e-2)


def test_pictures_that_cannot_be_read(checkpoint, pictures, tmp_path):
    embedder = FaceEmbedder(config(), checkpoint)
    good, cut, gone = (tmp_path / name for name in ('good.jpg', 'cut.jpg', 'gone.jpg'))
    cv2.imwrite(str(good), pictures[0])
    cut.write_bytes(good.read_bytes()[:-500])
    with pytest.raises(ValueError, match=r'cannot read 2 of 3 pictures: .*cut.jpg, .*gone.jpg; check'):
        embedder.embed([cut, good, gone])
    with pytest.raises(ValueError, match=r'cannot read 1 of 2 pictures: .*gone.jpg'):
        embedder.compare(good, gone)
    embeddings, unreadable = embedder.embed_readable(iter([cut, good, gone, good]), batch_size=1)
    assert unreadable == [0, 2]
    np.testing.assert_allclose(embeddings, embedder.embed([good, good]), atol=1e-6)
    with pytest.raises(ValueError, match=r'cannot read 2 of 2 pictures: .*cut.jpg'):
        embedder.embed_readable([cut, gone])
    with pytest.raises(ValueError, match='cannot read 0 of 0 pictures'):
        embedder.embed([])


@pytest.mark.parametrize(
    'image', [np.zeros((9, 9), np.uint8), np.zeros((9, 9, 3), np.float32), np.zeros((0, 9, 3), np.uint8)]
)
def test_arrays_of_another_kind_are_refused(checkpoint, image):
    with pytest.raises(ValueError, match=r'expected BGR, uint8 \(H, W, 3\)'):
        FaceEmbedder(config(), checkpoint).embed([image])


def test_an_empty_batch_is_refused(checkpoint, pictures):
    with pytest.raises(ValueError, match='batch_size=0'):
        FaceEmbedder(config(), checkpoint).embed(pictures, batch_size=0)


def test_networks_that_cannot_be_built_are_refused(checkpoint, tmp_path):
    with pytest.raises(ValueError, match='does not fit FaceRecognizer, nothing was loaded'):
        FaceEmbedder(config(attention='conv'), checkpoint)
    with pytest.raises(FileNotFoundError, match='no checkpoint at'):
        FaceEmbedder(config(), tmp_path / 'gone.pth')
    with pytest.raises(FileNotFoundError, match=r'gone\.py'):
        FaceEmbedder(tmp_path / 'gone.py', checkpoint)
    with pytest.raises(ValueError, match="cannot use the device 'abacus'"):
        FaceEmbedder(config(), checkpoint, 'abacus')
    (tmp_path / 'other.py').write_text("model = dict(type='ImageClassifier')\n")
    with pytest.raises(ValueError, match=r'other.py: expected a model of type FaceRecognizer'):
        FaceEmbedder(tmp_path / 'other.py', checkpoint)


def test_a_fingerprint_tells_weights_apart_but_not_heads():
    model, same, other = build(), build(), build(1)
    with torch.no_grad():
        same.head.norm_product.weight += 1
    assert fingerprint(model) == fingerprint(same) != fingerprint(other)
    with torch.no_grad():
        same.backbone.output_layer[-1].bias[3] += 1e-6
    assert fingerprint(model) != fingerprint(same)


def unit(rng, count):
    rows = rng.standard_normal((count, 6)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@given(st.integers(0, 2**32 - 1), st.integers(1, 7), st.integers(1, 40), st.integers(1, 9), st.integers(1, 50))
def test_search_equals_a_sort_of_all(seed, probes, faces, top, block):
    rng = np.random.default_rng(seed)
    probes, gallery = unit(rng, probes), unit(rng, faces)
    indices, scores = search(probes, gallery, top, block)
    cosines = np.array([[sum(map(float.__mul__, p, g)) for g in gallery.tolist()] for p in probes.tolist()])
    np.testing.assert_array_equal(indices, np.argsort(-cosines, 1)[:, :top])
    np.testing.assert_allclose(scores, -np.sort(-cosines, 1)[:, :top], atol=1e-6)
    assert indices.dtype == np.int64 and scores.dtype == np.float32


@given(st.lists(st.integers(0, 3), min_size=1, max_size=30), st.integers(1, 5), st.integers(1, 8))
def test_of_equal_faces_the_first_comes_first(values, top, block):
    gallery = np.eye(4, dtype=np.float32)[values]
    indices, _ = search(np.float32([[0.8, 0.6, 0, 0]]), gallery, top, block)
    expected = sorted(range(len(values)), key=lambda i: ((0, 1, 2, 2)[values[i]], i))[:top]
    assert indices[0].tolist() == expected


def test_search_refuses_what_does_not_fit():
    gallery = np.ones((3, 4), np.float32)
    for probes, settings, message in (
        (np.ones((2, 5), np.float32), {}, r'found probes \(2, 5\) and a gallery \(3, 4\)'),
        (np.ones(4, np.float32), {}, r'found probes \(4,\)'),
        (gallery, dict(top=0), 'found top=0'),
        (gallery, dict(block=0), 'block=0'),
    ):
        with pytest.raises(ValueError, match=message):
            search(probes, gallery, **settings)


def test_faces_come_back_from_a_file(tmp_path):
    faces = Faces('/somewhere', ['a/ü.png', 'b.jpg'], unit(np.random.default_rng(0), 2), 'abcd')
    write_faces(tmp_path / 'new/faces.npz', faces)
    again = read_faces(tmp_path / 'new/faces.npz')
    assert (again.folder, again.names, again.fingerprint) == (faces.folder, faces.names, 'abcd')
    np.testing.assert_array_equal(again.embeddings, faces.embeddings)
    assert again.boxes is None and again.path(0) == Path('/somewhere/a/ü.png')
    assert [path.name for path in (tmp_path / 'new').iterdir()] == ['faces.npz']


def test_faces_in_photographs_come_back_with_their_boxes(tmp_path):
    boxes = np.float32([(1, 2, 30, 40), (5, 6, 7, 8)])
    faces = Faces('/somewhere', ['a#1.png#0', 'a#1.png#1'], unit(np.random.default_rng(0), 2), 'abcd', boxes)
    write_faces(tmp_path / 'faces.npz', faces)
    again = read_faces(tmp_path / 'faces.npz')
    np.testing.assert_array_equal(again.boxes, boxes)
    assert again.names == faces.names and again.path(1) == Path('/somewhere/a#1.png')
    for wrong in (boxes[:1], boxes[:, :3], boxes.astype(int)):
        write_faces(tmp_path / 'faces.npz', faces._replace(boxes=wrong))
        with pytest.raises(ValueError, match=r'faces\.npz has 2 names and boxes .*, expected \(N, 4\) of floats'):
            read_faces(tmp_path / 'faces.npz')


class Trap:
    def __reduce__(self):
        return (open, ('trapped', 'w'))


def test_files_that_hold_something_else_are_refused_and_run_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / 'faces.npz'
    embeddings = np.ones((2, 3), np.float32)
    whole = dict(folder='x', names=['a', 'b'], embeddings=embeddings, fingerprint='f')
    with pytest.raises(FileNotFoundError, match=r'faces\.npz does not exist'):
        read_faces(path)
    np.savez(path, **{**whole, 'names': np.array([Trap(), Trap()])})
    with pytest.raises(ValueError, match='holds no embeddings that can be read'):
        read_faces(path)
    for content in (b'', b'no archive', pickle.dumps(Trap())):
        path.write_bytes(content)
        with pytest.raises(ValueError, match='holds no embeddings that can be read'):
            read_faces(path)
    assert not (tmp_path / 'trapped').exists()
    np.savez(path, embeddings=embeddings)
    with pytest.raises(ValueError, match='holds no embeddings that can be read'):
        read_faces(path)
    np.savez(path, **whole)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match='holds no embeddings that can be read'):
        read_faces(path)
    with path.open('wb') as file:
        np.save(file, embeddings)
    with pytest.raises(ValueError, match='holds no embeddings that can be read'):
        read_faces(path)
    np.savez(path, **{**whole, 'names': ['a']})
    with pytest.raises(ValueError, match=r'has 1 names and embeddings \(2, 3\)'):
        read_faces(path)


def test_what_is_not_finite_is_refused(tmp_path):
    faces = np.eye(3, dtype=np.float32)
    broken = faces.copy()
    broken[1, 1] = np.nan
    with pytest.raises(ValueError, match='probes that are not finite'):
        search(broken, faces)
    with pytest.raises(ValueError, match='gallery faces from 0 on that are not finite'):
        search(faces, broken)
    for embeddings in (broken, np.eye(3, dtype=int), np.array([['a'] * 3] * 3)):
        write_faces(tmp_path / 'a.npz', Faces('', ['a', 'b', 'c'], embeddings, 'x'))
        with pytest.raises(ValueError, match=r'a\.npz has embeddings that are no finite numbers'):
            read_faces(tmp_path / 'a.npz')
    model = build()
    torch.save(model.state_dict(), tmp_path / 'whole.pth')
    embedder = FaceEmbedder(config(), tmp_path / 'whole.pth')
    embedder.model.backbone.output_layer[3].weight.data[0, 0] = np.nan
    with pytest.raises(ValueError, match='embeddings that are not finite: the checkpoint is broken'):
        embedder.embed([np.zeros((SIDE, SIDE, 3), np.uint8)])
    torch.save(embedder.model.state_dict(), tmp_path / 'broken.pth')
    with pytest.raises(ValueError, match=r'broken\.pth: 1 weights are not finite'):
        FaceEmbedder(config(), tmp_path / 'broken.pth')
