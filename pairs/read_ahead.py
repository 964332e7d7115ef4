"""Read the next block of a file while the last one is parsed."""

from collections.abc import Iterator
from contextlib import suppress
from queue import Empty, Full, Queue
from threading import Event, Thread
from typing import TypeVar

T = TypeVar("T")
WAIT = 0.1
"""Seconds after which the reading thread looks whether anybody still wants what it read."""


def ahead(source: Iterator[T], *, most: int = 2) -> Iterator[T]:
    """The values of `source`, up to `most` of them taken from it before they are asked for, in another thread.

    An error of the source is raised here, in its place. Leaving the iteration early ends the thread.
    """
    queue: Queue[tuple[bool, T | BaseException | None]] = Queue(most)
    left = Event()

    def put(value: tuple[bool, T | BaseException | None]) -> None:
        while not left.is_set():
            with suppress(Full):
                queue.put(value, timeout=WAIT)
                return

    def read() -> None:
        try:
            for value in source:
                put((True, value))
                if left.is_set():
                    return
            put((False, None))
        except BaseException as error:  # whatever it is, it belongs to the one who reads
            put((False, error))

    thread = Thread(target=read, name="read-ahead", daemon=True)
    thread.start()
    try:
        while True:
            try:
                good, value = queue.get(timeout=WAIT)
            except Empty:
                assert thread.is_alive() or not queue.empty(), "the reading thread ended without a word"
                continue
            if good:
                yield value  # type: ignore[misc]  # of type T where good
            elif value is None:
                return
            else:
                assert isinstance(value, BaseException)
                raise value
    finally:
        left.set()
        thread.join()
