"""Progress with its speed and the time that is left: one live line on a terminal, a line now and then elsewhere."""

import sys
import time
from collections.abc import Iterable, Iterator, Sized
from datetime import timedelta
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn
from rich.text import Text

Item = TypeVar('Item')


class _Speed(ProgressColumn):
    def render(self, task):
        return Text(f'{task.speed:.1f}/s' if task.speed else '')


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
        columns = TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn(), _Speed(), TimeRemainingColumn()
        with Progress(*columns, console=console) as progress:
            yield from progress.track(items, total, description=what)
        return
    start = said = time.monotonic()
    done = 0
    for item in items:
        if done and (now := time.monotonic()) - said >= every:
            speed = done / (now - start)
            left = timedelta(seconds=round((total - done) / speed))
            print(f'{what}: {done} of {total}, {speed:.1f}/s, {left} left', file=sys.stderr, flush=True)
            said = now
        yield item
        done += 1
    seconds = time.monotonic() - start
    speed = f', {done / seconds:.1f}/s' if done else ''
    print(f'{what}: {done} in {timedelta(seconds=round(seconds))}{speed}', file=sys.stderr, flush=True)
