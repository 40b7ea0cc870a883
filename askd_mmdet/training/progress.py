"""Progress with the time that is left: one live line on a terminal, a line now and then elsewhere."""

import sys
import time
from collections.abc import Iterable, Iterator, Sized
from datetime import timedelta
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

Item = TypeVar('Item')


def track(items: Iterable[Item], what: str, total: int | None = None, every: float = 30.0) -> Iterator[Item]:
    """Hand on items, and say on stderr how many are done.

    Args:
        items: Whatever takes its time.
        what: Is being done, as 'reading'.
        total: How many items there are; needed where they have no length.
        every: Seconds between two lines where stderr is no terminal.
    """
    if total is None:
        assert isinstance(items, Sized), 'items without a length need a total'
        total = len(items)
    console = Console(stderr=True)
    if console.is_terminal:
        columns = TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
        with Progress(*columns, console=console) as progress:
            yield from progress.track(items, total, description=what)
        return
    start = said = time.monotonic()
    for done, item in enumerate(items):
        if done and (now := time.monotonic()) - said >= every:
            left = timedelta(seconds=round((now - start) / done * (total - done)))
            print(f'{what}: {done} of {total}, {left} left', file=sys.stderr, flush=True)
            said = now
        yield item
    print(f'{what}: {total} in {timedelta(seconds=round(time.monotonic() - start))}', file=sys.stderr, flush=True)
