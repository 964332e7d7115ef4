"""Progress of long work: a bar on a terminal, one line an interval in a log."""

import logging
import os
import sys
import time
from collections.abc import Iterable, Iterator, Sized
from contextlib import nullcontext
from typing import TYPE_CHECKING, TypeVar

from launch.watch.beats import beat, meeting_nobody

if TYPE_CHECKING:
    from launch.distributed import World

T = TypeVar("T")
TERMINAL = "KINREC_TERMINAL"
INTERVAL_SECONDS = 20.0
log = logging.getLogger(__name__)


def progress(
    steps: Iterable[T],
    *,
    label: str,
    total: int | None = None,
    world: "World | None" = None,
    first: int = 0,
    alone: bool = False,
) -> Iterator[T]:
    """Yield from `steps`, showing how far they are (on rank 0 only); every rank beats.

    Args:
        total: how many there are, if `steps` does not say.
        first: how many an earlier start has done.
        alone: the ranks do not meet in this loop: one that stands still is not excused by others that move.
    """
    if total is None and isinstance(steps, Sized):
        total = len(steps)
    steps = _with_beats(steps, label=label, first=first, total=None if total is None else first + total, alone=alone)
    if world is not None and not world.is_main:
        yield from steps
        return
    if sys.stderr.isatty() or os.environ.get(TERMINAL) == "1":
        from tqdm import tqdm

        yield from tqdm(steps, desc=label, total=total, leave=False, dynamic_ncols=True)
        return
    yield from _with_lines(steps, label=label, total=total)


def _with_beats(steps: Iterable[T], *, label: str, first: int, total: int | None, alone: bool) -> Iterator[T]:
    with meeting_nobody() if alone else nullcontext():
        beat(phase=label, step=first, total=total)
        for done, step in enumerate(steps, start=first + 1):
            yield step
            beat(phase=label, step=done, total=total)


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
