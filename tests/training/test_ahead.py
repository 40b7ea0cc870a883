"""Stages that run at the same time."""

import threading
import time

import pytest

from askd_mmdet.training.ahead import ahead


def slow(items, seconds, threads=None):
    for item in items:
        time.sleep(seconds)
        if threads is not None:
            threads.add(threading.get_ident())
        yield item


def test_stages_run_at_the_same_time_and_keep_the_order():
    first, second = set(), set()
    start = time.monotonic()
    for i, item in enumerate(ahead(slow(ahead(slow(range(12), 0.05, first)), 0.05, second))):
        time.sleep(0.05)
        assert item == i
    assert i == 11
    assert time.monotonic() - start < 0.75 * 12 * 0.15
    assert len(first) == len(second) == 1 and len({*first, *second, threading.get_ident()}) == 3


@pytest.mark.parametrize('depth', [1, 2, 5])
def test_no_more_is_made_than_was_asked_for(depth):
    made = []
    items = ahead((made.append(i) for i in range(20)), depth)
    for _ in range(3):
        next(items)
    time.sleep(0.1)
    assert len(made) == 3 + depth
    items.close()
    assert len(made) == 3 + depth


def test_an_error_comes_in_its_place():
    items = ahead(1 / i for i in (1, 2, 0, 4))
    assert [next(items), next(items)] == [1, 0.5]
    with pytest.raises(ZeroDivisionError):
        next(items)


def test_what_is_left_early_is_closed():
    closed = []

    def source():
        try:
            yield from range(100)
        finally:
            closed.append(True)

    before = threading.active_count()
    for item in ahead(ahead(source())):
        if item == 3:
            break
    assert closed == [True] and threading.active_count() == before
    assert list(ahead([])) == []
