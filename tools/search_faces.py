"""Find the faces of a gallery that are most similar to each probe.

PROBES and GALLERY are each a picture, a folder of pictures, or an .npz file of tools/embed_faces.py, which must come
from the same weights.
"""

import argparse
import csv
import io
import os
import sys
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
from embed_faces import build_embedder, embed_folder, network_parser
from rich.console import Console
from rich.progress import track

from askd_mmdet.recognition.embedder import FaceEmbedder, Faces, read_faces, search
from askd_mmdet.training.files import replace_text
from askd_mmdet.training.pictures import read_picture

TILE = 112
CAPTION = 20
# Nobody looks at more, and a JPEG ends at 65,500 pixels.
SHEET_PROBES = 100


def make_parser() -> argparse.ArgumentParser:
    parser = network_parser(__doc__)
    parser.add_argument('probes', type=Path, help='picture, folder or .npz: the faces to look for')
    parser.add_argument('gallery', type=Path, help='picture, folder or .npz: the faces to look among')
    parser.add_argument('--top', type=int, default=5, metavar='N', help='faces for each probe (default: %(default)s)')
    parser.add_argument('--csv', type=Path, metavar='FILE', help='also write probe,rank,gallery,cosine to FILE')
    parser.add_argument(
        '--sheet',
        type=Path,
        metavar='FILE',
        help=f'also draw the first {SHEET_PROBES} probes into FILE (*.jpg, *.png), each in a row with its best gallery '
        'faces and their cosines',
    )
    return parser


def read_or_embed(source: Path, embedder: FaceEmbedder, batch_size: int) -> Faces:
    """The faces of a picture, a folder or an .npz file.

    Raises:
        OSError, ValueError: When there are none, or they were embedded by another network.
    """
    if source.is_dir():
        return embed_folder(embedder, source, batch_size)
    if source.suffix != '.npz':
        return Faces(str(source.resolve().parent), [source.name], embedder.embed([source]), embedder.fingerprint)
    faces = read_faces(source)
    if faces.fingerprint != embedder.fingerprint:
        raise ValueError(
            f'{source} was embedded by the network {faces.fingerprint}, and the checkpoint holds '
            f'{embedder.fingerprint}: these cannot be compared; embed the pictures again with this checkpoint'
        )
    return faces


def tile(faces: Faces, index: int, caption: str) -> np.ndarray:
    """A picture above its caption, BGR uint8 (TILE + CAPTION, TILE, 3); black where the file is gone."""
    drawn = np.zeros((TILE + CAPTION, TILE, 3), np.uint8)
    with suppress(OSError, ValueError):
        image = read_picture(Path(faces.folder, faces.names[index]))
        drawn[:TILE] = cv2.resize(image, (TILE, TILE), interpolation=cv2.INTER_AREA)
    cv2.putText(drawn, caption, (4, TILE + 15), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (255, 255, 255), 1, cv2.LINE_AA)
    return drawn


def draw_sheet(probes: Faces, gallery: Faces, indices: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Rows of a probe and its best gallery faces, BGR uint8; indices and scores as of `search`."""
    rows = [
        np.hstack([tile(probes, i, 'probe'), *(tile(gallery, j, f'{score:.3f}') for j, score in zip(best, cosines))])
        for i, (best, cosines) in enumerate(zip(indices[:SHEET_PROBES], scores))
    ]
    return np.vstack(rows)


def main(arguments: list[str] | None = None):
    parser = make_parser()
    args = parser.parse_args(arguments)
    if args.top < 1:
        parser.error(f'--top is {args.top}, expected at least 1')
    if args.sheet and args.sheet.suffix.lower() not in ('.jpg', '.png'):
        parser.error(f'--sheet {args.sheet} should end with .jpg or .png')
    for source in (args.probes, args.gallery):
        if not source.exists():
            parser.error(f'{source} does not exist; expected a picture, a folder or an .npz file')
    try:
        embedder = build_embedder(args)
        probes, gallery = (read_or_embed(path, embedder, args.batch_size) for path in (args.probes, args.gallery))
        parts = [slice(start, start + 256) for start in range(0, len(probes.names), 256)]
        found = [
            search(probes.embeddings[part], gallery.embeddings, args.top)
            for part in track(parts, 'searching', console=Console(stderr=True))
        ]
        indices, scores = map(np.concatenate, zip(*found))
        rows = [
            (name, rank, gallery.names[j], f'{score:.4f}')
            for name, best, cosines in zip(probes.names, indices, scores)
            for rank, (j, score) in enumerate(zip(best, cosines), 1)
        ]
        if args.csv:
            text = io.StringIO()
            csv.writer(text, lineterminator='\n').writerows([('probe', 'rank', 'gallery', 'cosine'), *rows])
            replace_text(args.csv, text.getvalue())
        if args.sheet:
            args.sheet.parent.mkdir(parents=True, exist_ok=True)
            part = args.sheet.with_name(f'part-{args.sheet.name}')
            cv2.imwrite(str(part), draw_sheet(probes, gallery, indices, scores))
            os.replace(part, args.sheet)
    except (OSError, ValueError) as error:
        sys.exit(f'{parser.prog}: error: {error}')
    for name, rank, found, score in rows:
        print(f'{name}\t{rank}\t{found}\t{score}')


if __name__ == '__main__':
    main()
