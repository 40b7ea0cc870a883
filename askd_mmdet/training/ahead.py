"""Work that goes on while its last results are in use: reading, computing and writing at the same time."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar('Item')
_END = object()


def ahead(items: Iterable[Item], depth: int = 2) -> Iterator[Item]:
    """Hand on items that are made in a thread of their own, up to `depth` of them before they are asked for.

    Nested, each stage has its thread: `for item in ahead(compute(ahead(read(paths))))` writes in the caller's. An error
    comes where its item would have.

    Example:
        >>> list(ahead(range(3)))
        [0, 1, 2]
    """
    iterator = iter(items)
    thread = ThreadPoolExecutor(1)
    try:
        waiting = deque(thread.submit(next, iterator, _END) for _ in range(depth))
        while (item := waiting.popleft().result()) is not _END:
            waiting.append(thread.submit(next, iterator, _END))
            yield item
    finally:
        thread.shutdown(cancel_futures=True)
        if hasattr(iterator, 'close'):  # a generator, with the threads and files that it has open
            iterator.close()
