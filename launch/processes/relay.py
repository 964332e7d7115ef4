"""Run one process of a stage to its end: show its output, keep it, leave nobody behind.

The output goes to the log whole. On the terminal it stops at the stage's own error line, or where it says that it was
stopped, before the launchers add their reports about it.
"""

import os
import selectors
import subprocess
import sys
import time
from typing import BinaryIO

from launch.processes.forward import at_work, hand_on
from launch.processes.orphans import Identity, end_relatives
from launch.processes.signals import STOP_MARK

ERROR_MARK = b"kinrec: error: "
POLL_SECONDS = 0.2
DRAIN_SECONDS = 2.0
PATIENCE_SECONDS = 3.0
"""Between SIGHUP and SIGKILL; the whole of a run has to be gone within 10 s."""


class Screen:
    """What of a stage's output reaches the terminal."""

    def __init__(self) -> None:
        self._tail = b""
        self._shown = True

    def show(self, chunk: bytes) -> None:
        """Write what has come to stderr as far as lines are whole (or redrawn bars); stop for good at an error line."""
        self._tail += chunk
        if not self._shown:
            return
        mark = min((at for at in map(self._tail.find, (ERROR_MARK, STOP_MARK.encode())) if at >= 0), default=-1)
        whole = self._tail if mark < 0 else self._tail[:mark]
        end = max(whole.rfind(b"\n"), whole.rfind(b"\r")) + 1
        sys.stderr.buffer.write(whole[:end])
        sys.stderr.buffer.flush()
        self._shown = mark < 0
        self._tail = self._tail[mark if mark >= 0 else end :]

    @property
    def error(self) -> str | None:
        """The stage's own error line without its mark, once it is whole; later ones are of other ranks."""
        if self._shown or not self._tail.startswith(ERROR_MARK):
            return None
        line, newline, _ = self._tail.removeprefix(ERROR_MARK).partition(b"\n")
        return line.decode(errors="replace") if newline else None


def relay(
    words: list[str], environment: dict[str, str], kept: BinaryIO, *, command: Identity
) -> tuple[int, str | None]:
    """Run `words` as a process of `command` (this one); its exit status and its error line, if it showed one.

    Waits for the process, not for its output alone: what it leaves behind may hold that open.
    """
    process = subprocess.Popen(
        words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    )
    assert process.stdout is not None
    screen = Screen()
    at_work(True)
    try:
        with process.stdout, selectors.DefaultSelector() as waiting:
            waiting.register(process.stdout, selectors.EVENT_READ)
            _copy(process, waiting, screen, kept, command)
            status = process.wait()
            end_relatives(command, patience=PATIENCE_SECONDS)
            _copy(process, waiting, screen, kept, command)  # the last words of those that were left
        return status, screen.error
    except BaseException:  # Ctrl-C, SIGTERM, or the log's disk is full: take all along
        end_relatives(command, patience=PATIENCE_SECONDS)
        process.kill()  # it may not have come as far as to be known by its environment
        process.wait()
        raise
    finally:
        at_work(False)


def _copy(
    process: subprocess.Popen[bytes],
    waiting: selectors.BaseSelector,
    screen: Screen,
    kept: BinaryIO,
    command: Identity,
) -> None:
    """Show and keep output until it is closed, or the process has ended and no more comes."""
    assert process.stdout is not None
    deadline: float | None = None
    while True:
        hand_on(command)
        ready = waiting.select(POLL_SECONDS)
        if process.poll() is not None:
            deadline = deadline or time.monotonic() + DRAIN_SECONDS
            if not ready or time.monotonic() > deadline:
                return
        if ready:
            chunk = os.read(process.stdout.fileno(), 1 << 16)
            if not chunk:
                return
            kept.write(chunk)
            kept.flush()
            screen.show(chunk)
