"""Faces in folders and files: embedded, read back, and drawn beside what was found for them."""

import csv
import io
import sys
from collections import defaultdict
from contextlib import suppress
from functools import partial
from itertools import groupby
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from askd_mmdet.progress import track
from askd_mmdet.recognition.alignment import align_box
from askd_mmdet.recognition.embedder import FaceEmbedder, Faces, read_faces, search
from askd_mmdet.training.files import replace_text
from askd_mmdet.training.pictures import PICTURES, find_pictures, read_picture, write_picture

TILE = 112
CAPTION = 36
# Of each: nobody looks at more, and a JPEG ends at 65,500 pixels.
SHEET_PROBES = SHEET_FACES = 100


def embed_folder(embedder: FaceEmbedder, folder: Path, batch_size: int) -> Faces:
    """Embed the pictures below a folder in the order of their names; names those that cannot be read, and goes on.

    Raises:
        FileNotFoundError: When there is no picture.
        ValueError: When none can be read.
    """
    names = find_pictures(folder, partial(print, file=sys.stderr))
    if not names:
        raise FileNotFoundError(f'{folder} holds no picture ({", ".join(PICTURES)})')
    paths = track([folder / name for name in names], f'embedding {folder}')
    embeddings, unreadable = embedder.embed_readable(paths, batch_size)
    for i in unreadable:
        print(f'warning: cannot read {folder / names[i]}, left it out', file=sys.stderr)
    left_out = set(unreadable)
    readable = [name for i, name in enumerate(names) if i not in left_out]
    return Faces(str(folder.resolve()), readable, embeddings, embedder.fingerprint)


def read_or_embed(source: Path, embedder: FaceEmbedder, batch_size: int) -> Faces:
    """The faces of a picture, a folder or an .npz file.

    Raises:
        OSError, ValueError: When there are none, or they were embedded by another network.
    """
    if source.is_dir():
        return embed_folder(embedder, source, batch_size)
    if source.suffix != '.npz':
        return Faces(str(source.parent.resolve()), [source.name], embedder.embed([source]), embedder.fingerprint)
    faces = read_faces(source)
    if faces.fingerprint != embedder.fingerprint:
        raise ValueError(
            f'{source} was embedded by the network {faces.fingerprint}, and the checkpoint holds '
            f'{embedder.fingerprint}: these cannot be compared; embed the pictures again with this checkpoint'
        )
    return faces


def draw_sheet(probes: Faces, gallery: Faces, found: list[list[tuple[int, float]]]) -> np.ndarray:
    """Rows of a probe and its best gallery faces, BGR uint8, with the cosine and the name below each.

    Args:
        probes: The faces that were looked for.
        gallery: The faces that were looked among.
        found: For each probe the numbers of its best gallery faces, and their cosines.
    """
    found = [best[:SHEET_FACES] for best in found[:SHEET_PROBES]]
    own = face_pictures(probes, set(range(len(found))))
    others = face_pictures(gallery, {j for best in found for j, _ in best})
    rows = [
        np.hstack(
            [
                tile(own[i], 'probe', probes.names[i]),
                *(tile(others[j], f'{score:.3f}', gallery.names[j]) for j, score in best),
            ]
        )
        for i, best in enumerate(found)
    ]
    width = max(row.shape[1] for row in rows)
    return np.vstack([np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0))) for row in rows])


def face_pictures(faces: Faces, indices: set[int]) -> dict[int, np.ndarray]:
    """Some faces as BGR uint8 (TILE, TILE, 3), black where the file is gone. Each file is read once."""
    drawn = {i: np.zeros((TILE, TILE, 3), np.uint8) for i in indices}
    for path, group in groupby(sorted(indices, key=faces.path), faces.path):
        with suppress(OSError, ValueError):
            image = read_picture(path)
            for i in group:
                if faces.boxes is None:
                    drawn[i] = cv2.resize(image, (TILE, TILE), interpolation=cv2.INTER_AREA)
                else:
                    drawn[i] = align_box(image, faces.boxes[i], TILE)
    return drawn


def tile(picture: np.ndarray, *caption: str) -> np.ndarray:
    """A picture above lines of text, BGR uint8 (TILE + CAPTION, TILE, 3). Of a long line the end is seen."""
    drawn = Image.new('RGB', (TILE, TILE + CAPTION))
    drawn.paste(Image.fromarray(np.ascontiguousarray(picture[..., ::-1])))
    pen, font = ImageDraw.Draw(drawn), ImageFont.load_default(12)
    for i, line in enumerate(caption):
        while font.getlength(line) > TILE - 8:
            line = f'…{line.removeprefix("…")[1:]}'
        pen.text((4, TILE + 2 + i * CAPTION // len(caption)), line, font=font)
    return np.ascontiguousarray(np.asarray(drawn)[..., ::-1])


def search_gallery(
    probes: Faces, gallery: Faces, top: int = 5, table: Path | None = None, sheet: Path | None = None
) -> list[tuple[str, int, str, str]]:
    """The most similar gallery faces of every probe, those in a probe's own file aside.

    Args:
        probes: The faces to look for.
        gallery: The faces to look among, embedded by the same network.
        top: Faces for each probe.
        table: Also write probe, rank, gallery and cosine to this CSV file.
        sheet: Also draw the first probes into this picture, each in a row with its best gallery faces; 100 at most.

    Returns:
        Probe, rank from 1, gallery face and cosine, a row each, best first.
    """
    own = _same_files(probes, gallery)
    most = max(map(len, own.values()), default=0)
    parts = [slice(start, start + 256) for start in range(0, len(probes.names), 256)]
    found = []
    for part in track(parts, 'searching'):
        indices, scores = search(probes.embeddings[part], gallery.embeddings, top + most)
        found += [
            [(j, score) for j, score in zip(*row) if j not in own.get(part.start + i, ())][:top]
            for i, row in enumerate(zip(indices.tolist(), scores))
        ]
    rows = [
        (name, rank, gallery.names[j], f'{score:.4f}')
        for name, best in zip(probes.names, found)
        for rank, (j, score) in enumerate(best, 1)
    ]
    if table:
        text = io.StringIO()
        csv.writer(text, lineterminator='\n').writerows([('probe', 'rank', 'gallery', 'cosine'), *rows])
        replace_text(table, text.getvalue())
    if sheet:
        write_picture(sheet, draw_sheet(probes, gallery, found))
    return rows


def _same_files(probes, gallery):
    """The numbers of the gallery faces that are in a probe's own file, for each probe whose file has some."""
    places = defaultdict(set)
    for j in range(len(gallery.names)):
        places[gallery.path(j)].add(j)
    return {i: places[path] for i in range(len(probes.names)) if (path := probes.path(i)) in places}
