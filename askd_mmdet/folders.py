"""Folders that are made whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory


@contextmanager
def replace_folder(path: Path) -> Iterator[Path]:
    """A name under which to make a folder, which takes the place of `path` when all went well; else nothing is left."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f'.{path.name}-', dir=path.parent) as temporary:
        yield Path(temporary, 'new')
        if path.exists():
            os.replace(path, Path(temporary, 'old'))
        os.replace(Path(temporary, 'new'), path)
