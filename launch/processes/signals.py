"""USR1 and TERM mean "save and end": what the processes of a run do when one comes.

A launcher ignores both: it would end its ranks while they save. A rank, or a stage without ranks, takes a note of it,
which its work looks at where it can stop (launch.stopping). Before that work has begun, and in stages that keep
nothing to go on from, there is nothing to save: the process ends at once. Imports nothing but the standard library.

A thread hears the signals, not Python's handlers: those wait as long as the main thread imports, or waits for others.
"""

import json
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

from launch.artifacts import write_text
from launch.processes.orphans import PROC
from launch.ranks import local_world_size

STOPPED = "KINREC_STOPPED"
"""Names the file that says to the command that a stage was stopped."""
STOPPED_STATUS = 75  # sysexits.h, EX_TEMPFAIL: try again
STOP_MARK = "kinrec: stopped"
STOPS = (signal.SIGUSR1, signal.SIGTERM)
LAUNCHERS = ("torch.distributed.run", "accelerate.commands.launch")
LAUNCHER_HANDLES = "PET_SIGNALS_TO_HANDLE"
"""Read by torchrun, and by accelerate, which is one; its own handler of TERM kills ranks after 30 s."""


class _Heard:
    """What this process has been told."""

    lock = threading.Lock()
    asked = False
    begun = False


def heed(module: str) -> None:
    """Take USR1 and TERM as this process should that is going to run `module`. Call it first, in the main thread."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # by it the command ends us for good, also where nohup ignored it
    if module in LAUNCHERS:
        ignore_stops()
        os.environ[LAUNCHER_HANDLES] = "SIGINT,SIGHUP,SIGQUIT"
        return
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    for number in STOPS:
        signal.signal(number, lambda *_: None)  # without a handler nothing is written to the pipe
        signal.siginterrupt(number, False)  # libraries' system calls go on
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    # Blocked meanwhile: one that a child gets before it has forgotten our handlers would be lost.
    os.register_at_fork(before=_block, after_in_parent=_unblock, after_in_child=_forget)
    threading.Thread(target=_hear, args=(reading,), name="kinrec-stop", daemon=True).start()


def ignore_stops() -> None:
    """Ignore both from now on. Call it before the end, where Python takes its handlers away: one more would kill."""
    for number in STOPS:
        signal.signal(number, signal.SIG_IGN)


def is_asked() -> bool:
    """Whether this process was told to save and end, in its work."""
    return _Heard.asked


def work_begins() -> None:
    """From now on a signal is only noted: there may be something to save."""
    with _Heard.lock:
        _Heard.begun = True


def note_stop(path: Path, *, where: str | None) -> None:
    """Write down that a stage was stopped `where` it was ("step 12"); None: before its work, or with all done."""
    write_text(path, json.dumps({"where": where}) + "\n")


def _hear(reading: int) -> None:
    while heard := os.read(reading, 64):  # a byte a signal, others' too
        if not {*heard} & {*STOPS}:
            continue
        if signal.SIGTERM in heard and _is_left_alone():
            os._exit(128 + signal.SIGTERM)
        with _Heard.lock:
            if not _Heard.begun:
                _end_at_once()
            _Heard.asked = True


def _end_at_once() -> None:
    path = os.environ.get(STOPPED)
    try:
        if path:
            note_stop(Path(path), where=None)
    finally:
        os.write(2, f"{STOP_MARK} before there was anything to save\n".encode())
        os._exit(STOPPED_STATUS)


def _is_left_alone() -> bool:
    """Whether a rank beside this one has ended: then it is the launcher that sends TERM, because that one failed."""
    return local_world_size() > sum(1 for _ in _siblings())


def _siblings() -> Iterator[int]:
    """Process ids of the children of our parent that have not ended, our own among them."""
    parent = os.getppid()
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            try:
                text = (entry / "stat").read_text(encoding="utf-8", errors="replace")
            except OSError:
                continue
            state, its_parent = text.rpartition(")")[2].split()[:2]
            if int(its_parent) == parent and state not in "ZX":
                yield int(entry.name)


def _forget() -> None:
    """A forked child is ended by its parent, with TERM; and what SLURM sends to all is for the parent to hear."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _unblock()


def _block() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)


def _unblock() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
