"""The lock of a run folder: one command, or one stage started by module, is at work in it at a time.

Whoever begins takes `RUN/lock` alone, writes down who it is, and goes on holding it shared. The processes that it
starts share it too, before they import anything: while one of them lives, nobody else begins.
"""

import errno
import fcntl
import json
import os
import socket
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from launch.cluster.allocation import job_id, restarts
from launch.errors import InputError
from launch.processes.orphans import Identity, boot_id, is_alive, own_identity, parse_identity, relatives

LOCK = "KINREC_LOCK"
NAME = "lock"
PATIENCE_SECONDS = 10.0
"""How long the processes of a killed command may take to end."""
LEASE_SECONDS = 180.0
"""How long a file server may keep the locks of a node that is gone (NFS: 90 s, and as much again after its own start).
A job that SLURM has started again waits so long for what it was before."""
MAX_BYTES = 4096
REFUSED = {errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES}
_shared: set[tuple[int, int]] = set()
"""(device, inode) of the locks that this process shares with the command that started it."""


class Holder(NamedTuple):
    """Who wrote itself into a lock."""

    process: Identity
    host: str
    since: str
    command: str
    job: str = ""
    """Its SLURM job, empty outside one."""
    restarts: int = 0
    """How often SLURM had started that job again."""

    def __str__(self) -> str:
        job = f", SLURM job {self.job}," if self.job else ""
        return f"pid {self.process.pid} on {self.host}{job} since {self.since}"

    def was_our_job(self) -> bool:
        """True if it belonged to an earlier start of the SLURM job that we belong to."""
        return bool(self.job) and self.job == job_id() and self.restarts < restarts()


@contextmanager
def hold_lock(run_dir: Path) -> Iterator[None]:
    """Hold the lock of `run_dir` (made if missing) for this process and those that share it. InputError if taken."""
    path = run_dir / NAME
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{run_dir}: cannot make this folder: {error.strerror}; choose another run_dir") from error
    file = _open(path)
    try:
        if _identity(file) not in _shared:
            _take(path, file)
        yield
    finally:
        os.close(file)


def share_lock(path: Path, command: Identity, *, elsewhere: bool = False) -> bool:
    """Share a lock that `command` holds until this process ends; False if `command` no longer holds it.

    Args:
        elsewhere: the command runs on another machine, where we cannot see whether it lives.
    """
    file = _open(path)  # open until this process and all that it forks have ended
    if not _lock(path, file, fcntl.LOCK_SH) or not (_is_holder(file, command) if elsewhere else is_alive(command)):
        os.close(file)
        return False
    # The command was alive after we had the lock, so it held it all the time and nobody came in between. One elsewhere
    # was the last to hold it: its step, which we belong to, ends with it.
    _shared.add(_identity(file))
    return True


def read_holder(run_dir: Path) -> Holder | None:
    """Who holds the lock of `run_dir`, or was the last to; None where nobody is written down."""
    try:
        file = os.open(run_dir / NAME, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return _read(file) if stat.S_ISREG(os.fstat(file).st_mode) else None
    finally:
        os.close(file)


def _take(path: Path, file: int) -> None:
    began = time.monotonic()
    while not _lock(path, file, fcntl.LOCK_EX):
        holder = _read(file)
        former = holder is not None and holder.was_our_job()
        if holder is None or (_may_be_at_work(holder) and not former):
            raise InputError(_taken(path, holder))
        if time.monotonic() > began + (LEASE_SECONDS if former else PATIENCE_SECONDS):
            pids = ", ".join(map(str, relatives(holder.process))) or "unknown"
            raise InputError(
                f"{path.parent}: processes of a kinrec that has ended ({holder}) are still at work in this folder; "
                f"end them (pid {pids})"
            )
        time.sleep(0.05)
    _write(path, file)
    if not _lock(path, file, fcntl.LOCK_SH):  # the kernel gives up the one before it grants the other
        raise InputError(_taken(path, _read(file)))


def _may_be_at_work(holder: Holder) -> bool:
    """True if the holder lives, or runs on another machine, where we cannot see it."""
    return holder.process.boot != boot_id() or is_alive(holder.process)


def _is_holder(file: int, command: Identity) -> bool:
    """True if `command` is the one that is written down."""
    holder = _read(file)
    return holder is not None and holder.process == command


def _taken(path: Path, holder: Holder | None) -> str:
    named = "" if holder is None else f" ({holder})"
    return f"{path.parent}: another kinrec{named} is at work in this folder; wait for it"


def _open(path: Path) -> int:
    """A descriptor of a plain file in the run folder itself: a link could lead to what is not ours."""
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o644)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise InputError(f"{path}: the lock is a symbolic link; remove it") from error
        raise InputError(f"{path}: cannot open the lock: {error.strerror}; choose another run_dir") from error
    status = os.fstat(file)
    if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
        os.close(file)
        raise InputError(f"{path}: the lock is not a plain file of this folder alone; remove it")
    return file


def _lock(path: Path, file: int, kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in REFUSED:
            return False
        raise InputError(
            f"{path}: this file system gives no locks ({error.strerror}); choose a run_dir on another"
        ) from error
    return True


def _write(path: Path, file: int) -> None:
    record = {
        "process": str(own_identity()),
        "host": socket.gethostname(),
        "since": time.strftime("%Y-%m-%d %H:%M:%S"),
        "command": " ".join(sys.argv)[:1000],
        "job": job_id() or "",
        "restarts": restarts(),
    }
    content = (json.dumps(record) + "\n").encode()
    try:
        os.pwrite(file, content, 0)
        os.ftruncate(file, len(content))
    except OSError as error:
        raise InputError(f"{path}: cannot write the lock: {error.strerror}; choose another run_dir") from error


def _read(file: int) -> Holder | None:
    try:
        record = json.loads(os.pread(file, MAX_BYTES, 0))
        process = parse_identity(str(record["process"]))
        host, since, command, job = (_plain(record.get(key, "")) for key in ("host", "since", "command", "job"))
        return Holder(process, host, since, command, job, int(record.get("restarts", 0)))
    except (ValueError, KeyError, TypeError, RecursionError):  # empty, torn, or somebody else's
        return None


def _plain(text: object) -> str:
    """Text from a file, fit for a terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in str(text)[:1000])


def _identity(file: int) -> tuple[int, int]:
    status = os.fstat(file)
    return status.st_dev, status.st_ino
