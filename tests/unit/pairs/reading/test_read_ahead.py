"""Reading ahead changes nothing but who waits: order, errors and the end come where they would have come."""

import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pairs.reading.read_ahead import ahead


def readers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "read-ahead"]


def wait_for_the_end_of(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.join(timeout=10)
        assert not thread.is_alive(), "a reading thread outlived its reader"


@settings(max_examples=40, deadline=None)
@given(st.lists(st.none() | st.integers()), st.integers(1, 5))
def test_values_come_in_order_and_all_of_them(values: list[int | None], most: int) -> None:
    assert list(ahead(iter(values), most=most)) == values


@pytest.mark.parametrize("place", [0, 1, 5])
def test_error_is_raised_after_the_values_before_it(place: int) -> None:
    def source() -> Iterator[int]:
        yield from range(place)
        raise ValueError("line 7 is torn")

    seen = []
    with pytest.raises(ValueError, match="line 7 is torn"):
        for value in ahead(source()):
            seen.append(value)
    assert seen == list(range(place))


def test_leaving_early_ends_the_thread_and_reads_no_further() -> None:
    taken = []

    def endless() -> Iterator[int]:
        number = 0
        while True:
            taken.append(number)
            yield number
            number += 1

    before = readers()
    iterator = ahead(endless(), most=2)
    assert next(iterator) == 0
    mine = [thread for thread in readers() if thread not in before]
    assert len(mine) == 1
    iterator.close()  # type: ignore[attr-defined]  # it is a generator
    wait_for_the_end_of(mine)
    assert len(taken) <= 5


def test_thread_ends_with_its_source() -> None:
    before = readers()
    iterator = ahead(iter(range(3)))
    assert next(iterator) == 0
    mine = [thread for thread in readers() if thread not in before]
    assert list(iterator) == [1, 2]
    wait_for_the_end_of(mine)


def test_no_more_is_taken_ahead_than_allowed() -> None:
    taken = []

    def source() -> Iterator[int]:
        for number in range(20):
            taken.append(number)
            yield number

    iterator = ahead(source(), most=3)
    next(iterator)
    time.sleep(0.3)
    assert len(taken) <= 5  # the one that was given, three that wait, one in the thread's hand
    assert list(iterator) == list(range(1, 20))
