"""Files that are written whole or not at all, and what to say of those that are missing."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


def data_hint(path: str | Path) -> str:
    """What helps where data are missing, for the end of a message.

    Example:
        >>> data_hint('data/toy_faces/train.rec')
        'make it by "askd toy faces", or name the folder of all data sets: --data ROOT'
    """
    toy = next((part for part in Path(path).parts if part.startswith('toy_')), None)
    first = f'make it by "askd toy {toy.removeprefix("toy_")}"' if toy else 'put it there'
    return f'{first}, or name the folder of all data sets: --data ROOT'


def first_names(names: Sequence) -> str:
    """The first five of some names, and three dots where there are more, for a message that tells their number.

    Example:
        >>> first_names(range(6)), first_names(['a', 'b'])
        ('0, 1, 2, 3, 4, ...', 'a, b')
    """
    return ', '.join(map(str, names[:5])) + (', ...' if len(names) > 5 else '')


def walk(folder: str | Path, onerror: Callable[[OSError], None] | None = None) -> Iterator[tuple[Path, list[str]]]:
    """A folder and those below it, behind links as well, each with the names of its files.

    Hidden folders are passed over, and links that lead around in a circle.

    Args:
        folder: Where to begin; it may be hidden itself.
        onerror: Gets the error of a folder that cannot be read, see os.walk.
    """
    ways = {os.fspath(folder): (os.path.realpath(folder),)}  # the real places on the way to another
    for path, folders, files in os.walk(folder, onerror=onerror, followlinks=True):
        way, kept = ways.pop(path), []
        for name in folders:
            child = os.path.join(path, name)
            place = os.path.realpath(child) if os.path.islink(child) else os.path.join(way[-1], name)
            if name[0] != '.' and place not in way:
                kept.append(name)
                ways[child] = *way, place
        folders[:] = kept
        yield Path(path), files


def replace_text(path: Path, text: str) -> None:
    """Write a whole file or nothing, and its folders where they are missing."""
    # Names of files that are no UTF-8 keep their bytes.
    replace_bytes(path, text.encode(errors='surrogateescape'))


def replace_bytes(path: Path, content: bytes) -> None:
    """:func:`replace_text` of any content."""
    with part_of(path) as part:
        part.write_bytes(content)


@contextmanager
def part_of(path: Path, ending: str = '') -> Iterator[Path]:
    """A name under which to write a file, which becomes `path` when all went well and is removed when not.

    Args:
        path: The file; its folders are made where they are missing.
        ending: Of the name, for writers that go by it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Two processes may write the same file.
    part = path.with_name(f'{path.name}.{os.getpid()}.part{ending}')
    try:
        yield part
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
