"""The process group: the only file that names a back end; `launch/ranks.py` alone reads RANK beside it.

Everything else takes a `World` and calls `sum`, `gather`, `share`. Reduce sums and counts, never averages:
then one rank and N give the same numbers.
"""

import itertools
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from launch import ranks
from launch.stopping import Stopped
from launch.watch.beats import LOADING, MEETING, beat, meeting
from launch.watch.watchdog import current_task

Answer = TypeVar("Answer")
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class World:
    """The ranks of this job as seen from one of them."""

    rank: int
    size: int
    local_rank: int
    device: torch.device

    @property
    def node_size(self) -> int:
        """Ranks on this rank's node."""
        return min(ranks.local_world_size(), self.size)

    @property
    def is_main(self) -> bool:
        """True on rank 0, the one that writes."""
        return self.rank == 0

    def share(self, n: int) -> range:
        """This rank's contiguous part of `range(n)`; the parts of all ranks cover it once, in rank order."""
        return range(self.rank * n // self.size, (self.rank + 1) * n // self.size)

    def sum(self, tensor: torch.Tensor) -> torch.Tensor:
        """A new tensor of the same shape: the sum over ranks."""
        total = tensor.detach().clone().to(self.device)
        if self.size > 1:
            with meeting():
                dist.all_reduce(total)
        beat()
        return total

    def any(self, wish: bool) -> bool:
        """Whether some rank has the wish."""
        if self.size == 1:
            return wish
        return bool(self.sum(torch.tensor(int(wish))) > 0)

    def tell(self, word: str) -> None:
        """Let every rank know `word`, whenever it looks (`is_told`); no collective."""
        if self.size > 1:
            _store().set(word, "1")

    def is_told(self, word: str) -> bool:
        """Whether some other rank has told `word`; no collective."""
        return self.size > 1 and bool(_store().check([word]))

    def gather(self, tensor: torch.Tensor) -> list[torch.Tensor]:
        """Every rank's tensor [n_r, ...] in rank order, on all ranks; the first dimensions may differ."""
        local = tensor.detach().contiguous().to(self.device)
        if self.size == 1:
            return [local]
        lengths = self._lengths(local)
        padded = local.new_zeros((max(lengths), *local.shape[1:]))
        padded[: local.shape[0]] = local
        parts = [torch.empty_like(padded) for _ in range(self.size)]
        with meeting():
            dist.all_gather(parts, padded)
        return [part[:n] for part, n in zip(parts, lengths, strict=True)]

    def exchange(self, tensor: torch.Tensor, cuts: Sequence[int]) -> list[torch.Tensor]:
        """Every rank's rows for this rank, in rank order: each gives a tensor [N, ...] of one N, cut for the ranks.

        Args:
            cuts: rows `cuts[r]` to `cuts[r + 1]` are for rank r; the same on all ranks.
        """
        local = tensor.detach().contiguous().to(self.device)
        if self.size == 1:
            return [local]
        own = cuts[self.rank + 1] - cuts[self.rank]
        received = local.new_empty((self.size * own, *local.shape[1:]))
        lengths = [stop - start for start, stop in itertools.pairwise(cuts)]
        with meeting():
            dist.all_to_all_single(received, local, [own] * self.size, lengths)
        return list(received.view(self.size, own, *local.shape[1:]).unbind())

    def _lengths(self, local: torch.Tensor) -> list[int]:
        """Every rank's first dimension, without the two rounds and the pickling that objects take."""
        lengths = [torch.zeros(1, dtype=torch.int64, device=self.device) for _ in range(self.size)]
        with meeting():
            dist.all_gather(lengths, torch.tensor([local.shape[0]], device=self.device))
            return [int(n) for n in lengths]

    def gather_objects(self, value: Any) -> list[Any]:  # Any: whatever pickles; only our own ranks talk here
        """Every rank's (small) Python value in rank order, on all ranks."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        with meeting():
            dist.all_gather_object(values, value)
        return values

    def broadcast_object(self, value: Any) -> Any:  # Any: as above
        """Rank 0's (small) Python value, on all ranks."""
        if self.size == 1:
            return value
        box = [value]
        with meeting():
            dist.broadcast_object_list(box, src=0)
        return box[0]

    def ask_main(self, question: Callable[[], Answer]) -> Answer:
        """Rank 0's answer, on all ranks; the others do not even ask.

        So of files: a network file system goes on telling a rank of another node that a file is not there, because it
        asked too early.
        """
        answer: Answer = self.broadcast_object(question() if self.is_main else None)
        return answer

    def barrier(self) -> None:
        """Wait for every rank."""
        if self.size > 1:
            with meeting():
                dist.barrier()
        beat()


ALONE = World(rank=0, size=1, local_rank=0, device=torch.device("cpu"))
"""A process that works by itself."""


@contextmanager
def init_world(*, timeout_minutes: float | None = None) -> Iterator[World]:
    """Join the job that torchrun or accelerate started, or be the only process.

    NCCL where there are GPUs, gloo elsewhere. A process group that exists already is used and left open.

    Args:
        timeout_minutes: after which a collective fails by itself; None: long after the watchdog has ended a job in
            which nothing moves, for others may wait while one rank writes alone.
    """
    beat(phase=MEETING)
    rank, size = ranks.rank(), ranks.world_size()
    local_rank = int(os.environ.get("LOCAL_RANK", "0"))
    device = _pick_device(local_rank)
    owns_group = size > 1 and not dist.is_initialized()
    if owns_group:
        timeout = timedelta(minutes=timeout_minutes or _net_minutes())
        _for_every_group(timeout)
        dist.init_process_group(
            backend=backend_of(device),
            rank=rank,
            world_size=size,
            timeout=timeout,
            device_id=device if device.type == "cuda" else None,
        )
    if dist.is_initialized():
        rank, size = dist.get_rank(), dist.get_world_size()
    world = World(rank=rank, size=size, local_rank=local_rank, device=device)
    beat(phase=LOADING)
    if world.is_main:
        log.info("world size %d, device %s, back end %s", size, device, backend_of(device) if size > 1 else "none")
    try:
        yield world
        world.barrier()
    except Stopped:
        _leave(owns_group)
        raise
    # After an error the group is left as it is: the others lose this rank when it has said why it ends, not before.
    _leave(owns_group)


def _leave(owns_group: bool) -> None:
    if owns_group and dist.is_initialized():
        dist.destroy_process_group()


def join_alone(world: World) -> None:
    """A process group of one, for a library that needs one after a start without a launcher."""
    os.environ.setdefault("LOCAL_RANK", "0")  # Accelerate looks for it before it takes DeepSpeed into account
    if not dist.is_initialized():
        store = dist.HashStore()  # type: ignore[attr-defined]  # torch does not list it in __all__
        dist.init_process_group(backend=backend_of(world.device), store=store, rank=0, world_size=1)


def backend_of(device: torch.device) -> str:
    """The collective library for tensors on `device`."""
    return "nccl" if device.type == "cuda" else "gloo"


def _store() -> Any:  # Any: torch does not list its type
    """What the ranks met by: the only way to a word that is not waited for."""
    return dist.distributed_c10d._get_default_store()


def _net_minutes() -> float:
    """A net below the watchdog: an hour, or twice its longest time-out."""
    task = current_task()
    return 60.0 if task is None else max(60.0, max(task.start, task.step) / 60 * 2)


def _for_every_group(timeout: timedelta) -> None:
    """DeepSpeed makes groups of its own and takes torch's default, 10 minutes with NCCL."""
    module = dist.distributed_c10d
    for name in ("default_pg_timeout", "default_pg_nccl_timeout"):
        assert hasattr(module, name), name
        setattr(module, name, timeout)


def _pick_device(local_rank: int) -> torch.device:
    if not torch.cuda.is_available():
        return torch.device("cpu")
    device = torch.device("cuda", local_rank % torch.cuda.device_count())
    torch.cuda.set_device(device)
    return device


def why_no_gpu_ranks() -> str | None:
    """Why ranks on this machine's GPUs could not talk to each other; None where they can."""
    if not torch.cuda.is_available():
        return "torch sees no GPU: it is a CPU build, or the driver is older than its CUDA wants"
    if not dist.is_nccl_available():
        return "torch was built without NCCL, over which ranks on GPUs talk"
    return None
