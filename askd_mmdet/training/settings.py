"""Checks of settings: a wrong one is refused when it is given, by a sentence that names it."""

from collections.abc import Iterable
from math import inf
from numbers import Integral, Real
from typing import Any

import numpy as np


def check_number(
    owner: str,
    name: str,
    value: Any,
    *,
    whole: bool = False,
    at_least: float = -inf,
    above: float = -inf,
    at_most: float = inf,
    below: float = inf,
) -> None:
    """Raise ValueError unless a setting is a finite number (Python's or numpy's, but no bool) in its range.

    Args:
        owner: The class or function that has the setting, for the message.
        name: Of the setting.
        value: What was given.
        whole: Whether it must be an integer.
        at_least, above, at_most, below: The range.

    Example:
        >>> check_number('CBAM', 'reduction', 0, whole=True, at_least=1)
        Traceback (most recent call last):
        ValueError: CBAM: found reduction=0, expected a whole number, at least 1
    """
    is_number = isinstance(value, Integral if whole else Real) and not isinstance(value, bool)
    if is_number and at_least <= value <= at_most and above < value < below:
        return
    limits = (('at least', at_least), ('above', above), ('at most', at_most), ('below', below))
    expected = [f'{word} {limit}' for word, limit in limits if abs(limit) != inf]
    kind = 'a whole number' if whole else 'a finite number'
    raise ValueError(f'{owner}: found {name}={value!r}, expected {", ".join([kind, *expected])}')


def check_numbers(owner: str, name: str, value: Any, count: int | None = None, **limits) -> None:
    """Raise ValueError unless a setting is a list, tuple or array of one or more numbers.

    Args:
        owner, name, value: See :func:`check_number`.
        count: How many; by default any number but none.
        **limits: See :func:`check_number`.

    Example:
        >>> check_numbers('SquareCrop', 'scales', 0.5, above=0, at_most=1)
        Traceback (most recent call last):
        ValueError: SquareCrop: found scales=0.5, expected a list of one or more numbers
    """
    many = isinstance(value, list | tuple) or (isinstance(value, np.ndarray) and value.ndim == 1)
    if not many or len(value) != (count or len(value) or 1):
        raise ValueError(f'{owner}: found {name}={value!r}, expected a list of {count or "one or more"} numbers')
    for i, number in enumerate(value):
        check_number(owner, f'{name}[{i}]', number, **limits)


def check_choice(owner: str, name: str, value: Any, choices: Iterable) -> None:
    """Raise ValueError unless a setting is one of some texts or numbers.

    Example:
        >>> check_choice('LowResolution', 'recipe', 'own', ('paper', 'authors'))
        Traceback (most recent call last):
        ValueError: LowResolution: found recipe='own', expected 'paper' or 'authors'
    """
    if not isinstance(value, str | Integral) or value not in choices:
        raise ValueError(f'{owner}: found {name}={value!r}, expected {" or ".join(map(repr, choices))}')


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
        raise ValueError(f'{owner}: found {name}={value!r}, expected {expected}{", not empty" if fits else ""}')
