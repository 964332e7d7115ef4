"""One rank of the doctor's: do all ranks meet, how fast do they talk, is the run folder shared, do the clocks agree.

Started as a stage's ranks are (`kinrec doctor` asks the starter for the command), so it meets what they would meet.
Every rank says for itself how far it has come; the command reads it from the launcher's output.
"""

import argparse
import fcntl
import os
import shutil
import socket
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from launch.distributed import World, init_world
from launch.processes.children import answer
from launch.processes.node import NODE
from launch.processes.temporary import TEMPORARY
from launch.ranks import rank, world_size

SIZES = {"cpu": (2**16, 2**20, 2**23), "cuda": (2**20, 2**24, 2**27)}
"""Bytes of a tensor that is summed over the ranks."""
REPEATS = 3
ROUNDS = 5
WRITE_BYTES = 2**26
WRITE_BLOCK = 2**22
WRITE_SECONDS = 3.0
SEEN_SECONDS = 5.0
"""How long a network file system may take to show what another node wrote."""


def main() -> None:
    """Meet, measure, say."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--run_dir", type=Path, required=True)
    run_dir: Path = parser.parse_known_args()[0].run_dir
    host = os.environ.get(NODE) or socket.gethostname()
    answer(part="here", rank=rank(), size=world_size(), host=host)
    with init_world() as world:
        answer(part="met", rank=world.rank, size=world.size, host=host, **_device(world))
        answer(part="talk", rank=world.rank, **_talk(world))
        answer(part="clock", rank=world.rank, ahead=_clock(world))
        # Below the run's temporary folder: whatever a kill leaves there goes with the next start.
        folder = run_dir / TEMPORARY / world.broadcast_object(f"doctor-{os.urandom(6).hex()}")
        answer(part="folder", rank=world.rank, **_folder(folder, host, world))


def _device(world: World) -> dict[str, Any]:  # Any: plain JSON values
    if world.device.type != "cuda":
        return {"device": "cpu", "index": 0, "gpus": 0}
    free, total = torch.cuda.mem_get_info(world.device)
    gpus = torch.cuda.device_count()
    return {"device": "cuda", "index": world.device.index, "gpus": gpus, "free": free, "total": total}


def _talk(world: World) -> dict[str, Any]:  # Any: plain JSON values
    """Bytes a second of each rank's link while sums are taken over all ranks, by size; and whether the sums are right.

    The bandwidth is that of a ring: 2 (n - 1) / n of the tensor leave and reach every rank.
    """
    rates, right = {}, True
    for size in SIZES[world.device.type]:
        tensor = torch.full((size // 4,), float(world.rank + 1), device=world.device)
        total = world.sum(tensor)  # the first also sets up the links
        right = right and bool((total == world.size * (world.size + 1) / 2).all())
        world.barrier()
        started = time.monotonic()
        for _ in range(REPEATS):
            total = world.sum(tensor)
        float(total[0])  # waits for the device
        seconds = (time.monotonic() - started) / REPEATS
        rates[str(size)] = 2 * (world.size - 1) / world.size * size / seconds
    return {"rates": rates, "right": right}


def _clock(world: World) -> float:
    """Seconds that this rank's clock is ahead of rank 0's: the least of several looks right after a barrier."""
    looks = []
    for _ in range(ROUNDS):
        world.barrier()
        times = world.gather_objects(time.time())
        looks.append(times[world.rank] - times[0])
    return float(min(looks, key=abs))


def _folder(folder: Path, host: str, world: World) -> dict[str, Any]:  # Any: plain JSON values
    """What this rank sees of the others' files and locks in the probe's folder, and how fast it writes there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        own = folder / f"token-{world.rank}"
        before = time.time()
        _write(own, f"{world.rank} {host}".encode())
        ahead, problem = own.stat().st_mtime - before, ""
    except OSError as error:
        ahead, problem = 0.0, f"cannot write: {error.strerror or error}"
    problems = world.gather_objects(problem)
    hosts = world.gather_objects(host)
    unseen = [] if any(problems) else _unseen(folder, hosts)
    world.barrier()
    rate = None
    if not any(problems) and hosts.index(host) == world.rank:  # one of every node
        rate = _write_speed(folder / f"speed-{world.rank}")
    locks = "" if any(problems) else _locks(folder / "lock", world)
    world.barrier()
    shutil.rmtree(folder, ignore_errors=True)  # by all: it may not be one folder
    with suppress(OSError):  # a start that is at work has files of its own there
        folder.parent.rmdir()
    return {"host": host, "ahead": ahead, "problem": problem, "unseen": unseen, "rate": rate, "locks": locks}


def _unseen(folder: Path, hosts: list[str]) -> list[int]:
    """The ranks whose token this one cannot read, or reads wrongly."""
    deadline = time.monotonic() + SEEN_SECONDS
    missing = dict(enumerate(hosts))
    while missing:
        for number, host in list(missing.items()):
            try:
                if (folder / f"token-{number}").read_bytes() == f"{number} {host}".encode():
                    del missing[number]
            except OSError:
                continue
        if time.monotonic() > deadline:
            break
        if missing:
            time.sleep(0.1)
    return sorted(missing)


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _write_speed(path: Path) -> float | None:
    """Bytes a second, on the disk; None where there is no room for so much."""
    block, written, started = os.urandom(WRITE_BLOCK), 0, time.monotonic()
    try:
        with path.open("wb", buffering=0) as file:
            while written < WRITE_BYTES and time.monotonic() - started < WRITE_SECONDS:
                written += file.write(block)
                os.fsync(file.fileno())
    except OSError:
        return None
    finally:
        path.unlink(missing_ok=True)
    return written / (time.monotonic() - started)


def _locks(path: Path, world: World) -> str:
    """Empty where a lock that rank 0 holds keeps this rank out; else what is wrong."""
    problem = ""
    try:
        if world.is_main:
            path.touch()
    except OSError as error:
        problem = str(error.strerror or error)
    world.barrier()
    file = None
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT)
        if world.is_main:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        problem = str(error.strerror or error)
    told = world.broadcast_object(problem)
    if file is not None and not told and not world.is_main:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            problem = "rank 0's lock does not keep this rank out"
        except BlockingIOError:
            problem = ""
        except OSError as error:
            problem = str(error.strerror or error)
    world.barrier()
    if file is not None:
        os.close(file)
    return problem


if __name__ == "__main__":
    main()
