"""Checks of settings: a wrong one is refused when it is given, by a sentence that names it."""

from collections.abc import Iterable
from math import inf
from numbers import Integral, Real
from typing import Any

import numpy as np


def check_number(owner: str, name: str, value: Any, whole: bool = False, **limits) -> None:
    """Raise ValueError unless a setting is a finite number (of Python or numpy, and no bool) within limits.

    Args:
        owner: The class or function whose setting it is.
        name: Of the setting.
        value: What was given.
        whole: Whether it must be an integer.
        **limits: `at_least`, `above`, `at_most`, `below`.

    Example:
        >>> check_number('CBAM', 'reduction', 0, whole=True, at_least=1)
        Traceback (most recent call last):
        ValueError: CBAM: found reduction=0, expected at least 1
    """
    if not _is_number(value, whole, **limits):
        kind = [] if _is_number(value, whole) else [f'a {_kind(whole)} number']
        _refuse(owner, name, value, ', '.join(kind + _ranges(limits)))


def check_numbers(owner: str, name: str, value: Any, count: int | None = None, whole: bool = False, **limits) -> None:
    """Raise ValueError unless a setting is a list, tuple or array of such numbers as :func:`check_number` admits.

    Args:
        owner, name, value, whole, limits: See :func:`check_number`.
        count: How many; by default at least one.

    Example:
        >>> check_numbers('SquareCrop', 'scales', 0.5, above=0, at_most=1)
        Traceback (most recent call last):
        ValueError: SquareCrop: found scales=0.5, expected at least one finite number, above 0 and at most 1
    """
    many = isinstance(value, list | tuple) or (isinstance(value, np.ndarray) and value.ndim == 1)
    right_count = many and (len(value) == count if count else len(value))
    if not right_count or not all(_is_number(one, whole, **limits) for one in value):
        how_many = f'{count} {_kind(whole)} numbers' if count else f'at least one {_kind(whole)} number'
        _refuse(owner, name, value, ', '.join([how_many, *_ranges(limits)]))


def check_choice(owner: str, name: str, value: Any, choices: Iterable) -> None:
    """Raise ValueError unless a setting is one of some texts or whole numbers.

    Example:
        >>> check_choice('LowResolution', 'recipe', 'own', ('paper', 'authors'))
        Traceback (most recent call last):
        ValueError: LowResolution: found recipe='own', expected 'paper' or 'authors'
    """
    if not isinstance(value, str | Integral) or value not in choices:
        *first, last = map(repr, choices)
        _refuse(owner, name, value, f'{", ".join(first)} or {last}' if first else last)


def check_type(owner: str, name: str, value: Any, *kinds: type | None) -> None:
    """Raise ValueError unless a setting is of one of some types, and not empty.

    Example:
        >>> check_type('LowResolution', 'keep_hr', 'no', bool)
        Traceback (most recent call last):
        ValueError: LowResolution: found keep_hr='no', expected bool
    """
    fits = isinstance(value, tuple(kind or type(None) for kind in kinds))
    if not fits or (hasattr(value, '__len__') and not len(value)):
        expected = ' or '.join(kind.__name__ if kind else 'None' for kind in kinds)
        _refuse(owner, name, value, f'{expected}, not empty' if fits else expected)


def _is_number(value, whole, at_least=-inf, above=-inf, at_most=inf, below=inf):
    is_number = isinstance(value, Integral if whole else Real) and not isinstance(value, bool)
    return is_number and at_least <= value <= at_most and above < value < below


def _kind(whole):
    return 'whole' if whole else 'finite'


def _ranges(limits):
    return [' and '.join(f'{word.replace("_", " ")} {limit}' for word, limit in limits.items())] if limits else []


def _refuse(owner, name, value, expected):
    raise ValueError(f'{owner}: found {name}={value!r}, expected {expected}')
