"""Run a function on several gloo ranks and hand back what each returned."""

import os
import socket
import traceback
from collections.abc import Callable
from multiprocessing.context import ForkServerContext, SpawnContext
from typing import Any

import torch
import torch.multiprocessing as mp

from launch.distributed import init_world

PATIENCE_SECONDS = 400
HEAVY = ["graph.pretrain", "retrieval.neighbours", "training.finetune", "training.generate"]
"""What ranks import, for seconds each: imported once, by a process whose forks they are."""


def run_ranks(function: Callable[..., Any], size: int, *args: Any) -> list[Any]:
    """`function(world, *args)` on `size` ranks; top-level and picklable. Returns the results in rank order."""
    context = rank_context()
    results = context.Queue()
    ranks = [
        context.Process(target=_rank, args=(results, function, environment, args))
        for environment in _environments(size)
    ]
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


def rank_context() -> SpawnContext | ForkServerContext:
    """Ranks are forks; where there is CUDA, which no fork can use, processes that import all by themselves."""
    if torch.cuda.is_available():
        return mp.get_context("spawn")
    context = mp.get_context("forkserver")
    context.set_forkserver_preload(HEAVY)
    return context


def _environments(size: int) -> list[dict[str, str]]:
    """Of each rank: ours, and not that of the process whose fork it is; and what a launcher says."""
    meet = {**os.environ, "WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port())}
    return [{**meet, "RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(size)]


def _rank(results: Any, function: Callable[..., Any], environment: dict[str, str], args: tuple[Any, ...]) -> None:
    os.environ.clear()
    os.environ.update(environment)
    rank = int(environment["RANK"])
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
