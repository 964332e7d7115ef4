"""Where this process is in its stage: one number moves whenever something has been done.

    beat(step=41, total=300, phase="pretrain")
    with long("save"): ...

A beat only sets numbers in memory, so that every step, batch and file may have one; the watchdog's thread writes them
down once a second and measures how long they have stood still. Without that thread they cost nothing and do nothing.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

IMPORTS = "imports"
MEETING = "meeting"
LOADING = "loading"
ENDED = "ended"
FAILED = "failed"
OVER = {ENDED, FAILED}
"""Phases after which nothing is waited for."""
LONG_SECONDS = 30.0
log = logging.getLogger(__name__)


@dataclass
class Whereabouts:
    """Where this process is."""

    phase: str = IMPORTS
    step: int | None = None
    """Steps (blocks, parts) of the present loop that are done."""
    total: int | None = None
    moves: int = 0
    """Counts what has been done; compared with itself, never with another rank's."""
    begun: bool = False
    """Whether the first step has been done: until then the start's time-out counts."""
    long: int = 0
    """How many long pieces of work enclose this moment: in one the start's time-out counts again."""
    meets: bool = False
    """Whether this rank is in a collective: then it waits for others, whatever long work that is part of."""
    alone: bool = False
    """Whether this rank goes through its loop without meeting the others: then their movement says nothing of it."""


@dataclass
class Pace:
    """How fast the present loop goes, whatever interrupts it: validation and checkpoints count."""

    total: int | None = None
    first: int = 0
    last: int = 0
    seconds: float = 0.0

    @property
    def rate(self) -> float | None:
        """Steps a second since the loop began."""
        return (self.last - self.first) / self.seconds if self.seconds and self.last > self.first else None

    def tick(self, here: Whereabouts, seconds: float) -> None:
        """`seconds` have passed."""
        step = here.step or 0
        if here.total != self.total or step < self.last or not here.begun:
            self.total, self.first, self.seconds = here.total, step, 0.0
        else:
            self.seconds += seconds
        self.last = step


HERE = Whereabouts()
"""Those of this process."""


def beat(*, step: int | None = None, total: int | None = None, phase: str | None = None) -> None:
    """Something has been done. What is not given stays as it was.

    Args:
        step: steps of the present loop that are done.
        total: steps of that loop, if known.
        phase: what the loop does: `pretrain`, `validation`, `generate test`.
    """
    if step is not None and HERE.step is not None and step > HERE.step:
        HERE.begun = True
    if phase is not None:
        HERE.phase = phase
    if step is not None:
        HERE.step, HERE.total = step, total
    HERE.moves += 1


@contextmanager
def long(phase: str) -> Iterator[None]:
    """A piece of work that cannot beat from within and may take long: a save, an index. The longer time-out counts, and
    the log tells how long it took if that was long."""
    started = time.monotonic()
    before, HERE.phase = HERE.phase, phase
    HERE.long += 1
    HERE.moves += 1
    try:
        yield
    finally:
        HERE.phase = before
        HERE.moves += 1  # before the shorter time-out counts again
        HERE.long -= 1
        if time.monotonic() - started > LONG_SECONDS:
            log.info("%s: %.0f s", phase, time.monotonic() - started)


@contextmanager
def meeting() -> Iterator[None]:
    """A collective, something done when it is over. Within long work as well the shorter time-out counts: a rank that
    takes long is not in the collective yet, and its own beats say that it works."""
    HERE.moves += 1  # before the shorter time-out counts: what went before was measured by the longer
    before, HERE.meets = HERE.meets, True
    try:
        yield
    finally:
        HERE.meets = before
        HERE.moves += 1


@contextmanager
def meeting_nobody() -> Iterator[None]:
    """A loop in which this rank meets no other."""
    HERE.alone = True
    try:
        yield
    finally:
        HERE.alone = False
