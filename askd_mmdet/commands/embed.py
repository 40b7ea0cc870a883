"""Embed every picture below a folder of aligned faces, and write names and embeddings to an .npz file."""

import argparse
from pathlib import Path

from askd_mmdet.arguments import add_network


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_network(parser)
    parser.add_argument('folder', type=Path, help='pictures of aligned faces, at any depth')
    parser.add_argument('out', type=Path, help='file to write, *.npz')


def run(args: argparse.Namespace) -> None:
    from askd_mmdet.analysis.networks import build_embedder
    from askd_mmdet.recognition.embedder import write_faces
    from askd_mmdet.recognition.gallery import embed_folder

    if not args.folder.is_dir():
        raise FileNotFoundError(f'{args.folder} is no folder')
    if args.out.suffix != '.npz':
        raise ValueError(f'{args.out} should end with .npz')
    faces = embed_folder(
        build_embedder(args),
        args.folder,
        args.batch_size,
    )
    write_faces(args.out, faces)
    print(f'{args.out}: {len(faces.names)} faces, {faces.embeddings.shape[1]} numbers each')
