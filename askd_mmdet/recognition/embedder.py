"""A trained network in use: pictures to embeddings, the similarity of two faces, the best matches in a gallery."""

import copy
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple
from zipfile import BadZipFile

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from torch import nn

from askd_mmdet.degradation.pipelines import build_pipeline, pipeline_of
from askd_mmdet.training import build_model, load_weights
from askd_mmdet.training.config import load_config, type_name
from askd_mmdet.training.files import part_of
from askd_mmdet.training.inference import Picture, cannot_read, run_readable, set_up
from askd_mmdet.training.model import fingerprint
from askd_mmdet.training.settings import check_number, check_type


class FaceEmbedder:
    """Turns pictures of aligned faces into embeddings, as the test of the network's own config would.

    Args:
        config: Of the experiment: `askd_mmdet::...`, a file, or a Config; its `test_dataloader.dataset.pipeline`
            prepares the pictures.
        checkpoint: The weights, which must fit the model.
        device: A device of torch; by default a GPU where there is one.
        degrade: Whether to degrade pictures as the config's test does, by its `LowResolution` or `LowResolutionHook`.
            By default they are embedded as they are: real LR pictures need no degradation.

    Attributes:
        fingerprint: Equal for two embedders if and only if their networks have the same weights (the head aside).

    Raises:
        FileNotFoundError: When config or checkpoint is missing.
        ValueError: When the config is not one of face recognition, the checkpoint is damaged or does not fit, see
            :func:`load_weights`, or torch has no such device.
    """

    def __init__(
        self,
        config: str | Path | Config,
        checkpoint: str | Path,
        device: str | None = None,
        degrade: bool = False,
    ):
        check_type('FaceEmbedder', 'config', config, str, Path, Config)
        check_type('FaceEmbedder', 'checkpoint', checkpoint, str, Path)
        check_type('FaceEmbedder', 'degrade', degrade, bool)
        cfg = copy.deepcopy(config) if isinstance(config, Config) else load_config(config)
        if type_name(cfg.get('model', {})) != 'FaceRecognizer' or 'test_dataloader' not in cfg:
            raise ValueError(
                f'{cfg.filename or "the config"}: expected a model of type FaceRecognizer and a test_dataloader; take '
                'one of askd_mmdet::recognition/'
            )
        with DefaultScope.overwrite_default_scope('mmpretrain'):
            self.model = build_model(cfg)
            self.pipeline = build_pipeline(cfg, copy.deepcopy(pipeline_of(cfg.test_dataloader.dataset)), degrade)
        load_weights(self.model, checkpoint)
        set_up(self.model, device)
        self.fingerprint = fingerprint(self.model)

    def embed(self, images: Iterable[Picture], batch_size: int = 64) -> np.ndarray:
        """Embed pictures, of any size; they are resized to the network's input.

        Args:
            images: Paths, or BGR arrays uint8 (H, W, 3).
            batch_size: Pictures that pass the network together.

        Returns:
            float32 (N, D), of length 1: the normalised features of the picture and its mirror image.

        Raises:
            ValueError: Names the pictures that cannot be read; for an array of another type or shape, or embeddings
                that are not finite.
        """
        images = list(images)
        embeddings, unreadable = self.embed_readable(images, batch_size)
        if unreadable:
            raise cannot_read([images[i] for i in unreadable], len(images))
        return embeddings

    def embed_readable(self, images: Iterable[Picture], batch_size: int = 64) -> tuple[np.ndarray, list[int]]:
        """:meth:`embed`, but for the pictures that cannot be read, whose numbers are returned beside the embeddings.

        Raises:
            ValueError: For an array of another type or shape; when no picture can be read.
        """
        check_number('FaceEmbedder', 'batch_size', batch_size, whole=True, at_least=1)
        embeddings, unreadable = run_readable(self.model, self.pipeline, images, batch_size, _embeddings)
        if not embeddings:
            raise cannot_read(list(unreadable.values()), len(unreadable))
        return np.stack(embeddings), list(unreadable)

    def compare(self, a: Picture, b: Picture) -> float:
        """The cosine between the embeddings of two pictures, in [-1, 1]; see :meth:`embed` for errors."""
        first, second = self.embed([a, b])
        return float(np.clip(first @ second, -1, 1))


def _embeddings(samples):
    features = torch.stack([sample.embedding for sample in samples])
    if not features.isfinite().all():
        raise ValueError('found embeddings that are not finite: the checkpoint is broken; take an earlier one')
    return nn.functional.normalize(features).cpu().numpy()


def search(probes: np.ndarray, gallery: np.ndarray, top: int = 5, block: int = 4096) -> tuple[np.ndarray, np.ndarray]:
    """The most similar gallery faces of every probe, best first.

    The gallery is read block by block, so that only P * block similarities are in memory. Of equal similarities the one
    with the smaller index comes first.

    Args:
        probes: (P, D), of length 1.
        gallery: (G, D), of length 1, an array or anything else that gives arrays for slices, as np.memmap.
        top: How many faces to return; all where the gallery has fewer.
        block: Gallery faces that are compared at a time.

    Returns:
        Indices, int64 (P, min(top, G)), and their cosines, float32 (P, min(top, G)).

    Raises:
        ValueError: When the shapes do not fit, a number is not finite, or `top` or `block` is less than 1.

    Example:
        >>> gallery = np.float32([[1, 0], [0, 1], [0.6, 0.8]])
        >>> indices, scores = search(np.float32([[0, 1]]), gallery, top=2)
        >>> indices.tolist(), scores.round(3).tolist()
        ([[1, 2]], [[1.0, 0.800000011920929]])
    """
    if np.ndim(probes) != 2 or np.ndim(gallery) != 2 or probes.shape[1] != gallery.shape[1]:
        raise ValueError(
            f'found probes {np.shape(probes)} and a gallery {np.shape(gallery)}, expected (P, D) and (G, D)'
        )
    for name, value in dict(top=top, block=block).items():
        check_number('search', name, value, whole=True, at_least=1)
    if not np.isfinite(probes).all():
        raise ValueError('found probes that are not finite; embed them anew')
    indices = np.empty((len(probes), 0), np.int64)
    scores = np.empty((len(probes), 0), np.float32)
    for start in range(0, len(gallery), block):
        new = np.asarray(probes @ gallery[start : start + block].T, np.float32)
        if not np.isfinite(new).all():
            raise ValueError(f'found gallery faces from {start} on that are not finite; embed the gallery anew')
        numbers = np.broadcast_to(np.arange(start, start + new.shape[1]), new.shape)
        indices, scores = np.hstack([indices, numbers]), np.hstack([scores, new])
        # Stable, and the best so far come first: the smaller index wins a tie.
        best = np.argsort(-scores, axis=1, kind='stable')[:, :top]
        indices, scores = np.take_along_axis(indices, best, 1), np.take_along_axis(scores, best, 1)
    return indices, scores


class Faces(NamedTuple):
    """Embedded faces, with all that is needed to find their pictures again.

    Attributes:
        folder: What the names are relative to.
        names: Of N pictures of a face each; in photographs `photo.jpg#0`, the photograph and the face's number.
        embeddings: float32 (N, D), of length 1.
        fingerprint: Of the network, see :class:`FaceEmbedder`.
        boxes: float32 (N, 4), x1, y1, x2, y2 in pixels of the photographs; None for pictures that are a face each.
    """

    folder: str
    names: list[str]
    embeddings: np.ndarray
    fingerprint: str
    boxes: np.ndarray | None = None

    def path(self, index: int) -> Path:
        """The file that a face is in."""
        name = self.names[index]
        return Path(self.folder, name if self.boxes is None else name.rpartition('#')[0])


def write_faces(path: str | Path, faces: Faces) -> None:
    """Write embeddings to a `.npz` file, which holds plain arrays only and appears when it is complete."""
    with part_of(Path(path)) as part, part.open('wb') as file:
        np.savez(file, **{name: value for name, value in faces._asdict().items() if value is not None})


def read_faces(path: str | Path) -> Faces:
    """Read what :func:`write_faces` wrote, as data only.

    Raises:
        FileNotFoundError: When there is no such file.
        ValueError: When it holds something else, or is damaged.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f'{path} does not exist; askd embed writes such files')
    try:
        with np.load(path, allow_pickle=False) as file:
            faces = Faces(
                str(file['folder']),
                file['names'].tolist(),
                file['embeddings'],
                str(file['fingerprint']),
                file.get('boxes'),
            )
    except (KeyError, TypeError, ValueError, OSError, EOFError, BadZipFile) as error:
        raise ValueError(
            f'{path} holds no embeddings that can be read ({error}); write it anew with askd embed'
        ) from error
    if faces.embeddings.ndim != 2 or len(faces.names) != len(faces.embeddings):
        raise ValueError(
            f'{path} has {len(faces.names)} names and embeddings {faces.embeddings.shape}, expected N and (N, D)'
        )
    if faces.embeddings.dtype.kind != 'f' or not np.isfinite(faces.embeddings).all():
        raise ValueError(f'{path} has embeddings that are no finite numbers; write it anew with askd embed')
    if faces.boxes is not None and (faces.boxes.dtype.kind != 'f' or faces.boxes.shape != (len(faces.names), 4)):
        raise ValueError(
            f'{path} has {len(faces.names)} names and boxes {faces.boxes.dtype} {faces.boxes.shape}, expected (N, 4) '
            'of floats; write it anew with askd embed'
        )
    return faces
