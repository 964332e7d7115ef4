"""When checkpoints come by the clock, and how long they hold training up."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from launch.tracking import Tracker

MOST_SHARE = 0.05
"""Of the time between two checkpoints that writing one may take before we say so."""
WORTH_SECONDS = 60.0
"""Of writing, in all, before we say so."""
log = logging.getLogger(__name__)


class Saves:
    """The checkpoints of one start of a training."""

    def __init__(self, *, label: str, at: int, tracker: "Tracker | None") -> None:
        self.at = at
        """The step of the last one, or that training started from."""
        self._label = label
        self._tracker = tracker
        self._ended = time.monotonic()
        self._seconds = 0.0
        self._has_warned = False

    def are_due(self, step: int, minutes: float | None) -> bool:
        """Whether the last checkpoint is older than `minutes`, and not of just this step."""
        return minutes is not None and step != self.at and time.monotonic() - self._ended >= 60 * minutes

    @contextmanager
    def measured(self, step: int) -> Iterator[None]:
        """Around a checkpoint of `step`: how long training waits for it, and what share of its time that is."""
        began = time.monotonic()
        yield
        ended = time.monotonic()
        seconds, share = ended - began, (ended - began) / max(ended - self._ended, 1e-9)
        self.at, self._ended, self._seconds = step, ended, self._seconds + seconds
        if self._tracker is not None:
            self._tracker.log({"save_seconds": seconds, "save_share": share}, step=step)
        log.info("checkpoint of step %d: training waited %.1f s, %.1f %% of its time", step, seconds, 100 * share)
        if share > MOST_SHARE and self._seconds > WORTH_SECONDS and not self._has_warned:
            self._has_warned = True
            log.warning(
                "%s: writing checkpoints takes %.0f %% of the time; raise checkpoint_every and checkpoint_minutes",
                self._label, 100 * share,
            )  # fmt: skip


class Writer:
    """One thing at a time is written while training goes on."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    def write(self, action: Callable[[], object]) -> None:
        """Do `action` in the background, once what came before it is done."""
        self.join()

        def run() -> None:
            try:
                action()
            except BaseException as error:
                self._error = error

        self._thread = threading.Thread(target=run, name="kinrec-write")
        self._thread.start()

    def join(self) -> None:
        """Return when it is done; raises what went wrong."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        error, self._error = self._error, None
        if error is not None:
            raise error
