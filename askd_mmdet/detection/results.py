"""What was found in which picture: kept as soon as it is known, and handed on in the formats of others."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from askd_mmdet.detection.detector import Detections
from askd_mmdet.detection.sources import Source
from askd_mmdet.detection.submission import write_detections
from askd_mmdet.training.files import first_names, replace_text

JOURNAL = 'detections.jsonl'


def picture_entry(name: str, size: tuple[int, int], found: Detections) -> dict:
    """What is kept of a picture: its name, width and height, and its faces."""
    return dict(name=name, width=size[0], height=size[1], **_faces(found))


def video_entry(name: str, size: tuple[int, int], rate: float, found: Iterable[Detections]) -> dict:
    """The same of a video: the faces of each frame, and how many frames a second has."""
    return dict(name=name, width=size[0], height=size[1], rate=rate, frames=[_faces(each) for each in found])


def _faces(found):
    # The shortest numbers that give the same float32.
    boxes = [[float(str(value)) for value in box] for box in found.boxes]
    return dict(boxes=boxes, scores=[float(str(value)) for value in found.scores])


class Journal:
    """A file of JSON lines: first the settings, then the entry of each picture or video that is done, with the file's
    stamp, see :class:`Source`.

    Args:
        folder: Of the results. One that has other things in it is refused.
        settings: Of the detection, as JSON knows them; what is there of others is not gone on with.

    Raises:
        ValueError: For such a folder, for results of other settings, or a journal that is damaged.
    """

    def __init__(self, folder: Path, settings: dict):
        self.path = folder / JOURNAL
        if not self.path.exists():
            if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
                raise ValueError(f'{folder} is no folder of results, nor empty; name another --out')
            replace_text(self.path, json.dumps(settings) + '\n')
        text = self.path.read_bytes()
        whole = text[: text.rfind(b'\n') + 1]  # an interrupted line is written anew
        if whole != text:
            replace_text(self.path, whole.decode())
        try:
            before, *entries = map(json.loads, whole.splitlines())
            self.stamps = {entry['name']: entry['file'] for entry in entries}
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(f'{self.path} is damaged ({error}); delete {folder}, or name another --out') from error
        if other := [name for name in settings if before.get(name) != settings[name]]:
            told = ', '.join(f'{name} {before.get(name)}, now {settings[name]}' for name in other)
            raise ValueError(f'{folder} has results of other settings ({told}); name another --out, or delete it')

    def missing(self, sources: Iterable[Source]) -> list[Source]:
        """Those of the sources that have no entry yet.

        Raises:
            ValueError: When entries are of other files by the names of some.
        """
        found = {source: source.stamp for source in sources}
        done = {source: self.stamps[source.name] for source in found if source.name in self.stamps}
        if other := [source.name for source, before in done.items() if found[source] not in (None, before)]:
            raise ValueError(
                f'{self.path.parent} has results of {len(other)} other files by the names of these, or they have '
                f'changed since: {first_names(other)}; name another --out, or delete it'
            )
        self.seen = found  # a file may change, or go, while it is searched
        return [source for source in found if source not in done]

    def add(self, source: Source, entry: dict) -> None:
        with self.path.open('a', encoding='utf-8') as file:
            file.write(json.dumps(dict(entry, file=self.seen[source])) + '\n')
        self.stamps[source.name] = self.seen[source]

    def entries(self) -> Iterator[dict]:
        with self.path.open(encoding='utf-8') as file:
            next(file)
            for line in file:
                entry = json.loads(line)
                del entry['file']
                yield entry


def pictures_of(entries: Iterable[dict]) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Name, boxes (N, 4) as x, y, width, height, and scores (N,) of each picture; frames are `video/000000` on."""
    for entry in entries:
        frames = entry.get('frames')
        for i, faces in enumerate([entry] if frames is None else frames):
            boxes = np.float64(faces['boxes']).reshape(-1, 4)
            boxes[:, 2:] -= boxes[:, :2]
            yield entry['name'] if frames is None else f'{entry["name"]}/{i:06}', boxes, np.float64(faces['scores'])


def write_json(path: Path, entries: Iterable[dict]) -> None:
    """Write a list of all entries."""
    replace_text(path, '[\n' + ',\n'.join(map(json.dumps, entries)) + '\n]\n')


def write_coco(path: Path, entries: Iterable[dict]) -> None:
    """Write COCO's list of results, of category 1. A picture's id is its name, or the number that its name is."""
    results = [
        dict(image_id=_image_id(name), category_id=1, bbox=box.tolist(), score=float(score))
        for name, boxes, scores in pictures_of(entries)
        for box, score in zip(boxes, scores)
    ]
    replace_text(path, json.dumps(results) + '\n')


def _image_id(name):
    stem = Path(name).stem
    return int(stem) if '/' not in name and stem.isascii() and stem.isdecimal() else name


def write_submission(folder: Path, entries: Iterable[dict]) -> None:
    """Write WIDER FACE's submission, `event/stem.txt` for each picture.

    Raises:
        ValueError: When two pictures differ in their endings alone.
    """
    names = {}
    for name, boxes, scores in pictures_of(entries):
        stem = Path(name).with_suffix('').as_posix()
        if stem in names:
            raise ValueError(f'{names[stem]} and {name} would both be {stem}.txt; rename one and detect in it again')
        names[stem] = name
        write_detections(folder, stem, boxes, scores)
