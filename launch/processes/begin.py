"""Run a module as a process of a run: first tie it to the command that started it, only then import it.

    python -P -m launch.processes.begin MODULE [ARGUMENTS]

Heavy imports take from seconds to minutes. Whoever is killed in that time must not leave this process behind, and
this process must hold the run's lock from its first moment. Imports nothing but the standard library.
"""

import os
import runpy
import sys
from pathlib import Path

from launch.processes.garbage import search_rarely
from launch.processes.lock import LOCK, share_lock
from launch.processes.orphans import COMMAND, PARENT, die_with, own_identity, parse_identity
from launch.processes.signals import heed, ignore_stops
from launch.watch.attend import attend


def main() -> None:
    """Tie this process to its run, then run the module that is named first, with the words after it."""
    module, *arguments = sys.argv[1:]
    tie(module)
    attend(module)
    search_rarely()
    sys.argv = [module, *arguments]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    finally:
        if COMMAND in os.environ:
            ignore_stops()


def tie(module: str) -> None:
    """Stop when told to, end with the command and the parent that the environment names, share the run's lock."""
    if COMMAND not in os.environ:  # copied from a log and started by hand
        return
    heed(module)
    command = parse_identity(os.environ[COMMAND])
    die_with(command, parse_identity(os.environ[PARENT]))
    os.environ[PARENT] = str(own_identity())  # for those that we start: a launcher's ranks
    lock = os.environ.get(LOCK)
    if lock and not share_lock(Path(lock), command):
        os._exit(1)


if __name__ == "__main__":
    main()
