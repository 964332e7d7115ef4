"""USR1 and TERM to the command, or to its process on a node: noted, and handed on to all that it started.

The signal is sent again at growing intervals: a process that was just being born when it came did not hear it, and
hearing it twice changes nothing.
"""

import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType

from launch.cluster.allocation import job_id
from launch.processes.orphans import Identity, relatives, send
from launch.processes.signals import STOP_MARK, STOPPED, STOPPED_STATUS, STOPS, note_stop

FIRST_SECONDS = 1.0


class _Request:
    """What this process was asked for."""

    asked = False
    terms = 0
    at_work = False
    next_at = 0.0
    interval = FIRST_SECONDS


def forward_stops() -> None:
    """From now on USR1 and TERM ask this process to stop. With nothing at work it ends at once, with 75.

    A second TERM ends it, and with it all that it started, with 143; inside a SLURM job it does not: the first came
    from the same hand.
    """
    for number in STOPS:
        signal.signal(number, _note)


def is_stop_asked() -> bool:
    """Whether this process was asked to stop."""
    return _Request.asked


def at_work(yes: bool) -> None:
    """Whether there is somebody to hand a signal on to."""
    _Request.at_work = yes


def hand_on(command: Identity) -> None:
    """Send USR1 to all that `command` (this process) started, if it was asked to stop; call it again and again."""
    if _Request.asked and time.monotonic() >= _Request.next_at:
        send(signal.SIGUSR1, relatives(command))
        _Request.next_at = time.monotonic() + _Request.interval
        _Request.interval *= 2


def _note(number: int, frame: FrameType | None) -> None:
    _Request.terms += number == signal.SIGTERM
    if _Request.terms > 1 and job_id() is None:
        signal.signal(number, signal.SIG_IGN)
        sys.stderr.write("kinrec: ended by a second SIGTERM; the same command resumes\n")
        sys.exit(128 + number)
    if not _Request.at_work:
        if STOPPED in os.environ:  # on a node: the command is elsewhere
            note_stop(Path(os.environ[STOPPED]), where=None)
        sys.stderr.write(f"{STOP_MARK}; the same command resumes\n")
        sys.exit(STOPPED_STATUS)
    if not _Request.asked:
        _Request.asked = True
        sys.stderr.write(f"kinrec: {signal.Signals(number).name}: saving, then stopping\n")
