"""Many pictures and videos: read, searched and written at the same time, each whole or not at all."""

import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from askd_mmdet.detection.detector import Detections
from askd_mmdet.detection.drawing import CROP_MARGIN, crop_face, draw_faces, hide_faces
from askd_mmdet.detection.results import Journal, picture_entry, video_entry
from askd_mmdet.detection.sources import Source
from askd_mmdet.detection.video import open_video, write_video
from askd_mmdet.progress import track
from askd_mmdet.training.ahead import ahead
from askd_mmdet.training.pictures import read_picture, write_picture

Detect = Callable[[list[np.ndarray]], list[Detections]]
# Frames for which a face of a video stays hidden after it was found, as a detector misses some now and then.
HELD = 5


class Output(NamedTuple):
    """What to write.

    Attributes:
        folder: For the pictures and videos.
        show: What happens to faces in them: 'frame', 'pixelate' or 'fill'; 'none' writes none.
        crops: A folder for the faces, cut out, or None.
        margin: Around these, see `crop_face`.
    """

    folder: Path
    show: str = 'frame'
    crops: Path | None = None
    margin: float = CROP_MARGIN

    def render(self, image: np.ndarray, found: Detections, before: Iterable[Detections] = ()) -> np.ndarray:
        """The picture with its faces shown; those found in frames before are hidden, too."""
        if self.show == 'frame':
            return draw_faces(image, found.boxes, found.scores)
        return hide_faces(image, np.concatenate([found.boxes, *(each.boxes for each in before)]), self.show)

    def write_crops(self, image: np.ndarray, found: Detections, name: str) -> None:
        """Write the faces of the picture `name` as `<stem>_000<ending>` on, best first."""
        for i, box in enumerate(found.boxes if self.crops else ()):
            path = self.crops / PurePosixPath(name).with_stem(f'{PurePosixPath(name).stem}_{i:03}')
            write_picture(path, crop_face(image, box, self.margin))


class Counts(NamedTuple):
    pictures: int = 0
    faces: int = 0
    unreadable: int = 0

    def plus(self, *more: int) -> 'Counts':
        return Counts(*np.add(self, more).tolist())


def find_faces(sources: list[Source], detect: Detect, journal: Journal, output: Output, batch_size: int = 1) -> Counts:
    """Find the faces of pictures and videos; names on stderr what is unreadable.

    Args:
        sources: Pictures, then videos, see :meth:`Journal.missing`.
        detect: Pictures to their faces.
        journal: Gets an entry when all that belongs to a source is written.
        output: What to write.
        batch_size: Pictures that are detected in together.

    Raises:
        OSError: When something cannot be written.
    """
    pictures = [source for source in sources if not source.is_video]
    counts = Counts()
    found = ahead(searched(ahead(_read(pictures)), detect, batch_size))
    for source, image, faces in track(found, 'detecting', len(pictures)) if pictures else ():
        if faces is None:
            _warn(f'cannot read {source.path} ({image}), left it out')
            counts = counts.plus(0, 0, 1)
            continue
        if output.show != 'none':
            write_picture(output.folder / source.result, output.render(image, faces))
        output.write_crops(image, faces, source.result)
        journal.add(source, picture_entry(source.name, image.shape[1::-1], faces))
        counts = counts.plus(1, len(faces.boxes), 0)
    for source in sources[len(pictures) :]:
        try:
            entry = _search_video(source, detect, output, batch_size)
        except ValueError as error:
            _warn(f'{error}; left it out')
            counts = counts.plus(0, 0, 1)
            continue
        journal.add(source, entry)
        counts = counts.plus(len(entry['frames']), sum(len(frame['scores']) for frame in entry['frames']), 0)
    return counts


def _warn(text):
    print(f'warning: {text}', file=sys.stderr)


def _read(sources: Iterable[Source]) -> Iterator[tuple[Source, np.ndarray | Exception]]:
    for source in sources:
        try:
            yield source, read_picture(source.path)
        except (OSError, ValueError) as error:
            yield source, error


def searched(
    items: Iterable[tuple], detect: Detect, batch_size: int = 1
) -> Iterator[tuple[object, np.ndarray | Exception, Detections | None]]:
    """Search pictures, some at a time.

    Args:
        items: Anything, with a picture, or with the error that stands for it.
        detect: Pictures to their faces.
        batch_size: How many at a time.

    Yields:
        The items, each with the faces of its picture, or None.
    """
    items = iter(items)
    while batch := list(islice(items, batch_size)):
        faces = iter(detect([image for _, image in batch if not isinstance(image, Exception)]))
        for key, image in batch:
            yield key, image, None if isinstance(image, Exception) else next(faces)


def _search_video(source: Source, detect: Detect, output: Output, batch_size: int) -> dict:
    """Find the faces of a video, camera or stream, write it, and return its entry. An interrupt ends what is live."""
    with open_video(source.path) as video:
        path = None if output.show == 'none' else output.folder / source.result
        with write_video(path, video.rate, video.size) if path else _Nowhere() as writer:
            found, start = [], time.monotonic()
            frames = ((None, frame) for frame in video.frames)
            if video.is_live:  # read ahead, frames would be old when they are searched, and silence hold an interrupt
                results = searched(frames, detect, batch_size)
                print(f'{source.name} is recorded; Ctrl-C ends it', file=sys.stderr)
            else:
                results = ahead(searched(ahead(frames), detect, batch_size))
                if video.count:
                    results = track(results, source.name, video.count)
            before = deque(maxlen=HELD)
            try:
                for _, image, faces in results:
                    shown = output.render(image, faces, before) if path else image
                    before.append(faces)
                    # Where the network is slower than a camera it sees some frames alone: each stands for several.
                    due = 1 + (round((time.monotonic() - start) * video.rate) if video.is_live else len(found))
                    if due > len(found):
                        output.write_crops(image, faces, f'{source.name}/{len(found):06}.jpg')
                    for _ in range(due - len(found)):
                        writer.write(shown)
                        found.append(faces)
            except KeyboardInterrupt:
                if not video.is_live:
                    raise
    if not video.is_live and len(found) < video.count:
        _warn(f'{source.where} ends after {len(found)} of {video.count} frames')
    return video_entry(source.name, video.size, video.rate, found)


class _Nowhere:
    """Takes frames that nobody wants."""

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def write(self, frame):
        pass
