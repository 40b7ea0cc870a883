"""Embed every picture below a folder, and write names and embeddings to an .npz file.

The pictures are aligned faces, or with --detector photographs, in which the faces are found and aligned first: by
MTCNN's landmarks where the extra is installed (pip install 'askd_mmdet[align]'), else by their boxes.
"""

import argparse
from pathlib import Path

from askd_mmdet.arguments import add_detector, add_network, new_file


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_network(parser)
    add_detector(parser)
    parser.add_argument('folder', type=Path, help='pictures of aligned faces, or photographs, at any depth')
    parser.add_argument('out', type=new_file, help='file to write, *.npz')


def run(args: argparse.Namespace) -> None:
    from askd_mmdet.analysis.networks import build_embedder
    from askd_mmdet.analysis.photographs import face_reader
    from askd_mmdet.recognition.embedder import write_faces

    if not args.folder.is_dir():
        raise FileNotFoundError(f'{args.folder} is no folder')
    if args.out.suffix != '.npz':
        raise ValueError(f'{args.out} should end with .npz')
    faces = face_reader(args, build_embedder(args))(args.folder)
    write_faces(args.out, faces)
    print(f'{args.out}: {len(faces.names)} faces, {faces.embeddings.shape[1]} numbers each')
