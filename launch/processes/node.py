"""The process of a stage on one node of a SLURM job: what the command is on one machine, it is there.

    srun ... python -P -m launch.processes.node STAGE --config RECIPE --run_dir RUN --launch JSON --nodes A,B ...

It starts the launcher with this node's rank among the nodes, ties it and its ranks to itself, and ends what they leave.
It ends with the step that it is a task of. Imports nothing heavy.
"""

import argparse
import atexit
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from launch.cluster.interface import interface_to
from launch.cluster.step import port_is_free
from launch.config import LaunchConfig
from launch.errors import InputError
from launch.processes.commands import (
    GLOO_INTERFACE,
    Place,
    machine_environment,
    stage_command,
    tied_environment,
)
from launch.processes.forward import at_work, forward_stops, hand_on, is_stop_asked
from launch.processes.lock import LOCK, share_lock
from launch.processes.orphans import end_relatives, is_alive, own_identity, parse_identity
from launch.processes.signals import ignore_stops
from launch.processes.temporary import MAX_BYTES
from launch.stage import USER_ERROR_STATUS, report_error
from launch.stages import Stage, stage_named

FAILED = "KINREC_FAILED"
"""Names the file that says to the command that a node's launcher has failed by itself."""
HOLDER = "KINREC_HOLDER"
"""The command that holds the run's lock, perhaps on another machine."""
NODE = "SLURMD_NODENAME"
PREFIX = "kinrec-"
POLL_SECONDS = 0.2
PATIENCE_SECONDS = 3.0


def main(argv: Sequence[str] | None = None) -> None:
    """Run this node's part of a stage; the exit status is the launcher's."""
    forward_stops()
    atexit.register(ignore_stops)
    die_with_step(os.getppid())
    lock = os.environ[LOCK]
    if not share_lock(Path(lock), parse_identity(os.environ[HOLDER]), elsewhere=True):
        sys.exit(1)  # the command has ended, and so will the step
    given = _parse(argv)
    stage = stage_named(given.stage)
    launch = LaunchConfig(**json.loads(given.launch))
    try:
        place = find_place(given.nodes.split(","), master=given.master, port=given.port)
        words = stage_command(stage, recipe=given.config, run_dir=given.run_dir, launch=launch, place=place)
        with node_temporary() as folder:
            status = run_launcher(words, node_environment(stage, launch, place=place, folder=folder))
        if status != 0 and not is_stop_asked() and FAILED in os.environ:
            Path(os.environ[FAILED]).touch()  # before we end: SLURM then sends the others SIGTERM, as for a stop
    except InputError as error:
        report_error(str(error))
        sys.exit(USER_ERROR_STATUS)
    sys.exit(status)


def find_place(names: Sequence[str], *, master: str, port: int) -> Place | None:
    """This node among those of the stage; None where it is the only one. InputError if ranks could not meet there."""
    if len(names) == 1:
        return None
    place = Place(nodes=len(names), node_rank=names.index(os.environ[NODE]), master=master, port=port)
    try:
        socket.getaddrinfo(master, port)
    except OSError as error:
        raise InputError(
            f"the first node's address {master!r} does not resolve on {socket.gethostname()}; give launch.master one "
            "that all nodes know"
        ) from error
    if place.node_rank == 0 and not port_is_free(port):
        raise InputError(f"port {port} of {socket.gethostname()} is taken; the same command picks another")
    return place


def node_environment(stage: Stage, launch: LaunchConfig, *, place: Place | None, folder: Path) -> dict[str, str]:
    """The environment of this node's launcher and ranks."""
    environment = tied_environment(first=stage.starter == "accelerate") | machine_environment(stage, launch)
    environment["TMPDIR"] = str(folder)
    if place is not None and GLOO_INTERFACE not in environment:
        interface = interface_to(place.master)
        if interface is not None:
            environment[GLOO_INTERFACE] = interface
    return environment


def run_launcher(words: Sequence[str], environment: dict[str, str]) -> int:
    """Run this node's launcher to its end, then end whatever it has left here; its exit status."""
    me = own_identity()
    at_work(True)
    try:
        with subprocess.Popen(words, env=environment, stdin=subprocess.DEVNULL) as launcher:
            try:
                while launcher.poll() is None:
                    hand_on(me)
                    time.sleep(POLL_SECONDS)
            finally:
                end_relatives(me, patience=PATIENCE_SECONDS)
                launcher.kill()  # it may not have come as far as to be known by its environment
        status = launcher.returncode
    finally:
        at_work(False)
    return status if status >= 0 else 128 - status


def die_with_step(parent: int) -> None:
    """End this process, and so all that is tied to it, when the step's daemon on this node has ended.

    By looking again and again: the kernel's signal follows the *thread* of the daemon that forked us.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(POLL_SECONDS)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, name="kinrec-step", daemon=True).start()


@contextmanager
def node_temporary() -> Iterator[Path]:
    """A folder on this node for temporary files; gone afterwards. What killed ones have left goes first."""
    given = Path(tempfile.gettempdir())
    parent = given if len(os.fsencode(given)) < MAX_BYTES else Path("/tmp")  # libraries put sockets there
    for left in parent.glob(f"{PREFIX}*"):
        if _is_left(left):
            shutil.rmtree(left, ignore_errors=True)
    me = own_identity()
    folder = parent / f"{PREFIX}{me.pid}-{me.start}"
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _is_left(folder: Path) -> bool:
    """True for a folder of ours whose process has ended."""
    pid, _, start = folder.name.removeprefix(PREFIX).partition("-")
    try:
        ours = folder.lstat().st_uid == os.getuid() and not folder.is_symlink()
    except OSError:  # just removed by another
        return False
    if not ours or not pid.isdecimal() or not start.isdecimal():
        return False
    return not is_alive(own_identity()._replace(pid=int(pid), start=start))


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m launch.processes.node", allow_abbrev=False)
    parser.add_argument("stage")
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--run_dir", type=Path, required=True)
    parser.add_argument("--launch", required=True, help="the recipe's launch section, as JSON")
    parser.add_argument("--nodes", required=True, help="names of the stage's nodes in rank order")
    parser.add_argument("--master", required=True, help="the first node's address")
    parser.add_argument("--port", type=int, required=True, help="where its ranks listen")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
