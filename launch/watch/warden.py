"""In a launcher: after a time-out, end the ranks of this node that cannot end themselves.

A stopped rank does not heed the launcher's SIGTERM, and where it is the only one of its node nobody else can reach it.
"""

import os
import signal
import threading
import time
from pathlib import Path

from launch.watch.marks import TIMEOUT

GRACE_SECONDS = 11.0
"""For stacks and the report; then whoever is left is ended."""
POLL_SECONDS = 1.0


def start_warden(folder: Path) -> None:
    """Look after the children of this process from now on."""
    threading.Thread(target=_watch, args=(folder,), name="kinrec-warden", daemon=True).start()


def _watch(folder: Path) -> None:
    while not (folder / TIMEOUT).exists():
        time.sleep(POLL_SECONDS)
    time.sleep(GRACE_SECONDS)
    for pid in children(os.getpid()):
        os.kill(pid, signal.SIGKILL)


def children(parent: int) -> list[int]:
    """Process ids of a process's children; empty without /proc."""
    pids: list[int] = []
    for path in Path(f"/proc/{parent}/task").glob("*/children"):
        try:
            pids += map(int, path.read_text(encoding="ascii").split())
        except OSError:  # the thread has just ended
            continue
    return pids
