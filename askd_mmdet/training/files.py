"""Files that are written whole or not at all."""

import os
from pathlib import Path


def replace_text(path: Path, text: str) -> None:
    """Write a whole file or nothing, and its folders where they are missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Two processes may write the same file.
    part = path.with_name(f'{path.name}.{os.getpid()}.part')
    part.write_text(text)
    os.replace(part, path)
