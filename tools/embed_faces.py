"""Embed every picture below a folder of aligned faces, and write names and embeddings to an .npz file."""

import argparse
import sys
from functools import partial
from pathlib import Path

from mmengine.config import Config, DictAction
from rich.console import Console
from rich.progress import track

from askd_mmdet.recognition.embedder import FaceEmbedder, Faces, write_faces
from askd_mmdet.training.pictures import PICTURES, find_pictures


def network_parser(description: str) -> argparse.ArgumentParser:
    """The arguments that every tool with a trained network takes."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        'config', type=Path, help='config file, e.g. configs/recognition/arcface_ir50-cbam_casia-4x_askd.py'
    )
    parser.add_argument('checkpoint', type=Path, help='weights that were trained with it, e.g. epoch_20.pth')
    parser.add_argument(
        '--degrade',
        action='store_true',
        help="degrade the pictures as the config's test does (default: take them as they are)",
    )
    parser.add_argument('--device', help='cpu, cuda, cuda:1, ... (default: a GPU where there is one)')
    parser.add_argument('--batch-size', type=int, default=64, help='pictures at a time (default: %(default)s)')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        default={},
        help='override settings of the config, e.g. model.head=None for a checkpoint without a head',
    )
    return parser


def build_embedder(args: argparse.Namespace) -> FaceEmbedder:
    """The embedder that the command line asks for; raises what FaceEmbedder raises."""
    if not args.config.is_file():
        raise FileNotFoundError(f'no config at {args.config}; see configs/recognition for what there is')
    if args.batch_size < 1:
        raise ValueError(f'--batch-size is {args.batch_size}, expected at least 1')
    cfg = Config.fromfile(args.config)
    cfg.merge_from_dict(args.cfg_options)
    return FaceEmbedder(cfg, args.checkpoint, args.device, args.degrade)


def embed_folder(embedder: FaceEmbedder, folder: Path, batch_size: int) -> Faces:
    """Embed the pictures below a folder in the order of their names; names those that cannot be read, and goes on.

    Raises:
        FileNotFoundError: When there is no picture.
        ValueError: When none can be read.
    """
    names = find_pictures(folder, partial(print, file=sys.stderr))
    if not names:
        raise FileNotFoundError(f'{folder} holds no picture ({", ".join(PICTURES)})')
    paths = track([folder / name for name in names], f'embedding {folder}', console=Console(stderr=True))
    embeddings, unreadable = embedder.embed_readable(paths, batch_size)
    for i in unreadable:
        print(f'warning: cannot read {folder / names[i]}, left it out', file=sys.stderr)
    left_out = set(unreadable)
    readable = [name for i, name in enumerate(names) if i not in left_out]
    return Faces(str(folder.resolve()), readable, embeddings, embedder.fingerprint)


def main(arguments: list[str] | None = None):
    parser = network_parser(__doc__)
    parser.add_argument('folder', type=Path, help='pictures of aligned faces, at any depth')
    parser.add_argument('out', type=Path, help='file to write, *.npz')
    args = parser.parse_args(arguments)
    if not args.folder.is_dir():
        parser.error(f'{args.folder} is no folder')
    if args.out.suffix != '.npz':
        parser.error(f'{args.out} should end with .npz')
    try:
        faces = embed_folder(build_embedder(args), args.folder, args.batch_size)
        write_faces(args.out, faces)
    except (OSError, ValueError) as error:
        sys.exit(f'{parser.prog}: error: {error}')
    print(f'{args.out}: {len(faces.names)} faces, {faces.embeddings.shape[1]} numbers each')


if __name__ == '__main__':
    main()
