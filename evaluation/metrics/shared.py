"""Batches of a split shared out over the ranks: each scores its own, and all know what all have found.

Which samples make a batch does not depend on the ranks, so one rank and N find the same to the bit.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from evaluation.candidates.pool import Pool
from evaluation.metrics.ranks import DomainSamples, batch_rows, make_batch
from launch.distributed import World
from launch.processes.threads import num_threads, side_by_side
from launch.watch.beats import beat
from pairs.tables import Ints, Items, Samples


def shared_batches(
    samples: Samples, items: Items, pool: Pool | None, world: World | None
) -> Iterator[tuple[int, DomainSamples]]:
    """This rank's batches, with their numbers; of all of them without a world."""

    def made(own: tuple[int, tuple[int, Ints]]) -> tuple[int, DomainSamples]:
        number, (domain, rows) = own
        return number, make_batch(samples, items, pool, domain, rows)

    alone = pool is not None and len(pool.scorers) == 1  # several share the threads, a batch at a time
    own = own_batches(samples, items, world, few=pool is not None)
    for batch in side_by_side(made, own, threads=num_threads() if alone else 1):
        beat()
        yield batch


def own_batches(
    samples: Samples, items: Items, world: World | None, *, few: bool
) -> Iterator[tuple[int, tuple[int, Ints]]]:
    """The number, domain and rows of each of this rank's batches."""
    for number, batch in enumerate(batch_rows(samples, items, few=few)):
        if world is None or number % world.size == world.rank:
            yield number, batch


def share_rows(
    arrays: Sequence[NDArray[Any]], samples: Samples, items: Items, world: World | None, *, few: bool
) -> None:
    """Fill in the rows [N, ...] of each array that other ranks' batches have found; call on all ranks."""
    if world is None or world.size == 1:
        return
    parts = [rows for _, rows in batch_rows(samples, items, few=few)]
    rows_of_rank = [np.concatenate([np.zeros(0, np.int64), *parts[rank :: world.size]]) for rank in range(world.size)]
    for array in arrays:
        shared = world.gather(torch.from_numpy(array[rows_of_rank[world.rank]]))
        for rows, part in zip(rows_of_rank, shared, strict=True):
            array[rows] = part.cpu().numpy()


def in_batch_order(
    columns: Sequence[NDArray[Any]], sizes: Sequence[NDArray[np.int64]], world: World | None
) -> list[NDArray[Any]]:
    """What each batch has left, one batch after the other, of all ranks; call on all ranks.

    Args:
        columns: what this rank's batches have left, end to end.
        sizes: for each column, rows of each of this rank's batches.
    """
    if world is None or world.size == 1:
        return list(columns)
    ordered = []
    for column, of_batches in zip(columns, sizes, strict=True):
        lengths = [part.cpu().numpy() for part in world.gather(torch.from_numpy(of_batches))]
        parts = [part.cpu().numpy() for part in world.gather(torch.from_numpy(np.ascontiguousarray(column)))]
        split = [np.split(part, np.cumsum(of_rank)[:-1]) if len(of_rank) else []
                 for part, of_rank in zip(parts, lengths, strict=True)]  # fmt: skip
        count = sum(map(len, lengths))
        ordered.append(np.concatenate([split[n % world.size][n // world.size] for n in range(count)] or [column]))
    return ordered
