"""Progress of long work: a bar on a terminal, one line an interval in a log."""

import logging
import os
import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from launch.distributed import World

T = TypeVar("T")
TERMINAL = "KINREC_TERMINAL"
INTERVAL_SECONDS = 20.0
log = logging.getLogger(__name__)


def progress(steps: Iterable[T], *, label: str, total: int | None = None, world: "World | None" = None) -> Iterator[T]:
    """Yield from `steps`, showing how far they are (on rank 0 only)."""
    if world is not None and not world.is_main:
        yield from steps
        return
    if total is None and isinstance(steps, Sized):
        total = len(steps)
    if sys.stderr.isatty() or os.environ.get(TERMINAL) == "1":
        from tqdm import tqdm

        yield from tqdm(steps, desc=label, total=total, leave=False, dynamic_ncols=True)
        return
    yield from _with_lines(steps, label=label, total=total)


def _with_lines(steps: Iterable[T], *, label: str, total: int | None) -> Iterator[T]:
    started = last = time.monotonic()
    done = 0
    for done, step in enumerate(steps):
        now = time.monotonic()
        if now - last >= INTERVAL_SECONDS:
            last = now
            rate = done / (now - started)
            left = f", {(total - done) / rate:.0f} s left" if total and rate else ""
            log.info("%s: %d%s, %.3g/s%s", label, done, f" of {total}" if total else "", rate, left)
        yield step
