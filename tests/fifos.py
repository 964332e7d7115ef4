"""A FIFO where a file is expected, which cannot hang a test: who opens it to read gets its end after a moment."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PATIENCE = 0.5
"""Seconds that a reader waits in vain before it is let go, to fail the test."""


@contextmanager
def fifo_at(path: Path) -> Iterator[Path]:
    """A FIFO at `path`, in the place of what was there."""
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    done = threading.Event()

    def let_go() -> None:
        while not done.wait(PATIENCE):
            with suppress(OSError):  # nobody reads
                os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))

    thread = threading.Thread(target=let_go)
    thread.start()
    try:
        yield path
    finally:
        done.set()
        thread.join()
