"""Run a function on several gloo ranks and hand back what each returned."""

import os
import socket
import traceback
from collections.abc import Callable
from typing import Any

import torch
import torch.multiprocessing as mp

from launch.distributed import init_world

PATIENCE_SECONDS = 400


def run_ranks(function: Callable[..., Any], size: int, *args: Any) -> list[Any]:
    """`function(world, *args)` on `size` ranks; top-level and picklable. Returns the results in rank order."""
    context = mp.get_context("spawn")
    results = context.Queue()
    port = _free_port()
    ranks = [context.Process(target=_rank, args=(results, function, rank, size, port, args)) for rank in range(size)]
    for process in ranks:
        process.start()
    try:
        returned: dict[int, Any] = {}
        while len(returned) < size:
            rank, ok, value = results.get(timeout=PATIENCE_SECONDS)
            if not ok:
                raise AssertionError(f"rank {rank} failed:\n{value}")
            returned[rank] = value
        return [returned[rank] for rank in range(size)]
    finally:
        for process in ranks:
            process.join(timeout=20)
            if process.is_alive():
                process.kill()


def _rank(results: Any, function: Callable[..., Any], rank: int, size: int, port: int, args: tuple[Any, ...]) -> None:
    os.environ.update(
        RANK=str(rank), WORLD_SIZE=str(size), LOCAL_RANK=str(rank), MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port)
    )
    torch.set_num_threads(1)
    try:
        with init_world(timeout_minutes=3) as world:
            value = function(world, *args)
            results.put((rank, True, value))
    except BaseException:
        results.put((rank, False, traceback.format_exc()))
        raise


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
