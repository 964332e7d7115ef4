"""Threads of this process: how many it has, and work that several do in the order in which one would."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

from launch.distributed import World

Task = TypeVar("Task")
Made = TypeVar("Made")


def num_threads() -> int:
    """How many this process may work with."""
    return torch.get_num_threads()


@contextmanager
def of_waiting_ranks(world: World) -> Iterator[None]:
    """While the other ranks of the node wait for this one, their threads are its own. What is made here must not depend
    on how many there are."""
    own = num_threads()
    torch.set_num_threads(own * world.node_size)
    try:
        yield
    finally:
        torch.set_num_threads(own)


def side_by_side(work: Callable[[Task], Made], tasks: Iterable[Task], *, threads: int) -> Iterator[Made]:
    """What `work` makes of each task, in their order; as many at a time as there are threads, none far ahead.

    It gains where the work is numpy's, or another library's that lets go of the interpreter.
    """
    if threads == 1:
        yield from map(work, tasks)
        return
    waiting: deque[Future[Made]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for task in tasks:
            waiting.append(pool.submit(work, task))
            if len(waiting) == threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
