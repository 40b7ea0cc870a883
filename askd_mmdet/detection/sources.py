"""What a user points at: pictures, videos, folders and patterns of both, and cameras."""

import glob
import zlib
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from urllib.parse import urlsplit

from askd_mmdet.training.pictures import PICTURES, find_pictures

VIDEOS = ('.mp4', '.avi', '.mov', '.mkv', '.webm', '.m4v', '.mpg', '.mpeg', '.wmv', '.ts')


class Source(NamedTuple):
    """A picture or a video.

    Attributes:
        name: Under which its results are kept: relative to the folder that was named, with `/`.
        path: Its file, the number of a camera, or the address of a stream.
    """

    name: str
    path: Path | int | str

    @property
    def is_video(self) -> bool:
        return not isinstance(self.path, Path) or self.path.suffix.lower() in VIDEOS

    @property
    def where(self) -> str:
        """For messages; an address may hold a password."""
        return self.name if isinstance(self.path, str) else str(self.path)

    @property
    def stamp(self) -> list[int] | None:
        """The bytes of its file and the nanosecond of their last change; None where no file is there."""
        if not isinstance(self.path, Path) or not self.path.is_file():
            return None
        found = self.path.stat()
        return [found.st_size, found.st_mtime_ns]

    @property
    def result(self) -> str:
        """The name of the picture or video with its faces."""
        if self.is_video:
            return PurePosixPath(self.name).with_suffix('.mp4').as_posix()
        return self.name if self.name.lower().endswith(PICTURES) else f'{self.name}.jpg'


def find_sources(
    texts: Iterable[str], results: Iterable[Path] = (), say: Callable[[str], None] | None = None
) -> list[Source]:
    """The pictures and videos that some words mean, pictures first.

    Args:
        texts: A file each, a folder (all below it), a pattern (`*`, `?`, `[]`, `**`), the number of a camera, or the
            address of a stream (`rtsp://...`).
        results: Folders in which results go. What lies in them is a source only where it is named itself.
        say: Gets the lines on files that are passed over; by default the log.

    Raises:
        FileNotFoundError: When there is nothing, or no picture or video.
        ValueError: When two sources would have their results in one file, or one in its own place.
    """
    results = [folder.resolve() for folder in results]
    found = [source for text in texts for source in _meant(text, results, say)]
    places = {}
    for source in found:
        other = places.setdefault(source.result, source)
        if other.path != source.path:
            raise ValueError(
                f'{other.where} and {source.where} would both have their results in {source.result}; detect in one '
                'after the other, with an --out for each'
            )
        if isinstance(source.path, Path) and source.path.resolve() in [folder / source.result for folder in results]:
            raise ValueError(f'{source.path} would be replaced by its own result; name another --out')
    return sorted(places.values(), key=lambda source: source.is_video)


def _meant(text, results, say):
    path, endings = Path(text), PICTURES + VIDEOS
    now = f'{datetime.now():%Y%m%d-%H%M%S}'
    if '://' in text:
        # Nothing else of the address, in which cameras have users and passwords even as a path.
        return [Source(f'{urlsplit(text).hostname or "stream"}-{zlib.crc32(text.encode()):08x}_{now}.mp4', text)]
    if path.is_file():
        return [Source(path.name, path)]
    if path.is_dir():
        root, names = path, find_pictures(path, say, endings)
        nothing = f'{text} holds no picture or video ({", ".join(endings)})'
    elif glob.has_magic(text):
        fixed = next(i for i, part in enumerate(path.parts) if glob.has_magic(part))
        root, pattern = Path(*path.parts[:fixed]), Path(*path.parts[fixed:])
        names = sorted(glob.glob(str(pattern), root_dir=root, recursive=True))
        names = [name for name in names if name.lower().endswith(endings) and (root / name).is_file()]
        nothing = f'no picture or video ({", ".join(endings)}) fits the pattern {text}'
    elif text.isascii() and text.isdecimal():
        return [Source(f'camera{int(text)}_{now}.mp4', int(text))]
    else:
        raise FileNotFoundError(
            f'{text} does not exist; expected a picture, a video, a folder, a pattern, a camera or a stream'
        )
    within = [folder for folder in results if not root.resolve().is_relative_to(folder)]
    found = [Source(name, root / name) for name in names]
    if within:
        found = [source for source in found if not any(map(source.path.resolve().is_relative_to, within))]
    if not found:
        raise FileNotFoundError(nothing)
    return found
