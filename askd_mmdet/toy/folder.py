"""What all toy sets share: a folder that is written once and completely."""

import json
from collections.abc import Callable
from numbers import Integral
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from askd_mmdet.folders import replace_folder


def write_folder(
    root: str | Path,
    arguments: dict[str, Any],
    write: Callable[[Path], dict[str, int]],
    force: bool,
) -> dict[str, int]:
    """Write a toy set where there is none yet, and ``toy.json`` beside it.

    The folder appears when it is complete, and not before.

    Args:
        root: Folder to write; it must not exist, be empty, or hold a toy set.
        arguments: What the set is made with, as plain JSON values.
        write: Writes the set into a folder, which it makes, and returns how much there is of what.
        force: Replace a toy set that was made with other arguments.

    Returns:
        What `write` returned, now or when it wrote the set that is there already.

    Raises:
        FileExistsError: When root holds anything else, or a toy set with other arguments and
            `force` is not set.
    """
    root = Path(root).expanduser().absolute()
    if root.exists() and any(root.iterdir()):
        found, counts = _existing(root)
        if found == arguments:
            return counts
        if not force:
            raise FileExistsError(
                f'{root} holds a toy set made with {_differences(found, arguments)}; '
                'use another folder, or force=True (--force) to replace it'
            )

    with replace_folder(root) as new:
        counts = write(new)
        text = json.dumps(dict(arguments=arguments, counts=counts), indent=2)
        (new / 'toy.json').write_text(text + '\n')
    return counts


def _existing(root):
    """Arguments and counts in the toy.json of a folder."""
    try:
        existing = json.loads((root / 'toy.json').read_text())
        return dict(existing['arguments']), dict(existing['counts'])
    except (FileNotFoundError, ValueError, LookupError, TypeError) as error:
        raise FileExistsError(
            f'{root} is not empty and holds no toy set (no readable toy.json); use another folder'
        ) from error


def _differences(existing, wanted):
    names = [name for name in wanted if existing.get(name) != wanted[name]]
    return ' and '.join(
        ', '.join(f'{name}={arguments.get(name)}' for name in names) + suffix
        for arguments, suffix in ((existing, ''), (wanted, ' is wanted'))
    )


def check(*conditions: tuple[bool, str, Any, str]) -> None:
    """Raise ValueError for the first (holds, name, value, expected) that does not hold.

    Example:
        >>> check((True, 'seed', 0, 'at least 0'), (False, 'size', -5, 'at least 1'))
        Traceback (most recent call last):
        ValueError: size is -5, expected at least 1
    """
    for holds, name, value, expected in conditions:
        if not holds:
            raise ValueError(f'{name} is {value}, expected {expected}')


def check_whole(**settings: Any) -> None:
    """Raise ValueError for the first setting that is no whole number.

    Example:
        >>> check_whole(seed=0, size='64')
        Traceback (most recent call last):
        ValueError: size is '64', expected a whole number
    """
    for name, value in settings.items():
        if not isinstance(value, Integral) or isinstance(value, bool):
            raise ValueError(f'{name} is {value!r}, expected a whole number')


def encode_jpeg(grey: np.ndarray) -> bytes:
    """The JPEG file, of quality 95 and with three channels, of a grey uint8 picture (H, W)."""
    color = cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR)
    return cv2.imencode('.jpg', color, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
