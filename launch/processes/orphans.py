"""No process outlives the run that started it: who started us, are they alive, and end with them.

`kinrec` hands its identity to all that it starts (COMMAND), each process its own to its children (PARENT).
"""

import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

COMMAND = "KINREC_COMMAND"
PARENT = "KINREC_PARENT"
PR_SET_PDEATHSIG = 1  # linux/prctl.h
POLL_SECONDS = 0.5
PROC = Path("/proc")


class Identity(NamedTuple):
    """A process for ever: process ids are used again, together with a start time and a boot they are not."""

    pid: int
    start: str
    """Clock ticks from boot to the process's start; empty where there is no /proc."""
    boot: str

    def __str__(self) -> str:
        return f"{self.pid}:{self.start}:{self.boot}"


def parse_identity(text: str) -> Identity:
    """The identity that was written as `text`. ValueError if it is none."""
    pid, start, boot = text.split(":")
    return Identity(int(pid), start, boot)


def own_identity() -> Identity:
    """This process."""
    state = _state(os.getpid())
    return Identity(os.getpid(), "" if state is None else state[1], boot_id())


def boot_id() -> str:
    """Names this machine's present boot; empty where the system has no such name."""
    try:
        return (PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def is_alive(process: Identity) -> bool:
    """True while `process`, of this machine, runs. One that has ended and waits to be collected does not."""
    if process.boot != boot_id():
        return False
    if process.start:
        state = _state(process.pid)
        return state is not None and state[0] not in "ZX" and state[1] == process.start
    try:
        os.kill(process.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def die_with_parent(parent: int | None = None, number: signal.Signals = signal.SIGKILL) -> None:
    """Ask Linux for signal `number` when the starting process ends; elsewhere a no-op.

    `parent` is the process id that must be the parent; without it an end before this call goes unseen.
    """
    expected = os.getppid() if parent is None else parent
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, number)
    if os.getppid() != expected:  # it ended before we asked
        os._exit(1)


def die_with(command: Identity, parent: Identity) -> None:
    """End this process and those that it forks as soon as `parent`, or the `command` above it, has ended."""
    die_with_parent(parent.pid)
    if not is_alive(parent) or not is_alive(command):
        os._exit(1)
    forker = [os.getpid()]

    def follow() -> None:
        die_with_parent(forker[0])
        forker[0] = os.getpid()

    os.register_at_fork(after_in_child=follow)  # the kernel forgets the request in a forked child
    threading.Thread(target=_watch, args=(command, parent.pid), name="kinrec-watch", daemon=True).start()


def relatives(command: Identity) -> list[int]:
    """Process ids of all that `command` has started, directly or not, wherever they hang now. Empty without /proc."""
    mark = f"{COMMAND}={command}".encode()
    related = []
    for entry in PROC.iterdir() if PROC.is_dir() else ():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                environment = (entry / "environ").read_bytes()
            except OSError:  # another user's, or it has just ended
                continue
            if mark in environment.split(b"\0"):
                related.append(int(entry.name))
    return related


def end_relatives(command: Identity, *, patience: float) -> None:
    """End all that `command` has started: SIGHUP, after `patience` seconds SIGKILL. Returns when nobody is left.

    Not SIGTERM: that asks them to save first (launch.processes.signals).
    """
    for number, seconds in ((signal.SIGHUP, patience), (signal.SIGKILL, 10.0)):
        deadline = time.monotonic() + seconds
        send(number, relatives(command))
        while left := relatives(command):
            if time.monotonic() > deadline:
                break
            time.sleep(0.05)
            if number == signal.SIGKILL:
                send(number, left)  # one that was forked in between
        else:
            return


def send(number: signal.Signals, pids: Iterable[int]) -> None:
    """Send a signal to those of `pids` that are there."""
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def _watch(command: Identity, parent: int) -> None:
    """What the kernel's signal does not cover: `kinrec` ends and the launcher lives; systems without that signal."""
    while is_alive(command) and os.getppid() == parent:
        time.sleep(POLL_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)


def _state(pid: int) -> tuple[str, str] | None:
    """(state letter, start time) of a process, or None."""
    try:
        text = (PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()  # the name before it may hold anything
    return fields[0], fields[19]
