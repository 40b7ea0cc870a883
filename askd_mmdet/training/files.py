"""Files that are written whole or not at all, and what to say of those that are missing."""

import os
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


def replace_text(path: Path, text: str) -> None:
    """Write a whole file or nothing, and its folders where they are missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Two processes may write the same file.
    part = path.with_name(f'{path.name}.{os.getpid()}.part')
    part.write_text(text)
    os.replace(part, path)
