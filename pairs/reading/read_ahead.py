"""Read and parse the next blocks of a file while the last one is used."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from queue import Empty, Full, Queue
from threading import Event, Thread
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")
THREADS = 2
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


def each_ahead(source: Iterator[T], function: Callable[[T], R]) -> Iterator[tuple[T, R]]:
    """Every value of `source`, in order, with what `function` makes of it; `THREADS` of them at the same time."""
    with ThreadPoolExecutor(THREADS, thread_name_prefix="parse-ahead") as threads:
        waiting: deque[tuple[T, Future[R]]] = deque()
        for value in source:
            waiting.append((value, threads.submit(function, value)))
            if len(waiting) > THREADS:
                first, future = waiting.popleft()
                yield first, future.result()
        while waiting:
            first, future = waiting.popleft()
            yield first, future.result()
