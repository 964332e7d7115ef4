"""Batches of a split shared out over the ranks: each scores its own, and all know what all have found.

Which samples make a batch does not depend on the ranks, so one rank and N find the same to the bit.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from evaluation.candidates.pool import Pool
from evaluation.metrics.ranks import DomainSamples, Ranks, batch_rows, make_batch
from launch.distributed import World
from launch.processes.threads import num_threads, side_by_side
from launch.watch.beats import beat
from pairs.tables import Ints, Items, Samples

Made = TypeVar("Made")
Cut = tuple[int, Ints]
"""The domain of a batch and its rows."""


def over_batches(
    work: Callable[[DomainSamples], Made], samples: Samples, items: Items, pool: Pool | None, world: World | None
) -> Iterator[tuple[Ints, Made]]:
    """The rows of each of this rank's batches, of all of them without a world, and what `work` makes of it."""
    return over_cuts(work, own_cuts(samples, items, world, few=pool is not None), samples, items, pool)


def over_cuts(
    work: Callable[[DomainSamples], Made], cuts: Iterable[Cut], samples: Samples, items: Items, pool: Pool | None
) -> Iterator[tuple[Ints, Made]]:
    """The same of given batches, in their order. Where candidates are ranked each thread has a batch; where all items
    are, products have threads of their own."""

    def made(cut: Cut) -> tuple[Ints, Made]:
        domain, rows = cut
        return rows, work(make_batch(samples, items, pool, domain, rows))

    for one in side_by_side(made, cuts, threads=1 if pool is None else num_threads()):
        beat()
        yield one


@dataclass(frozen=True)
class Batches:
    """A rank's batches of some samples, which several choices are made on. Where candidates are ranked, those who
    nominate are asked once for who they are and what they say of them."""

    samples: Samples
    items: Items
    pool: Pool | None
    world: World | None = None
    _asked: list[tuple[Ints, DomainSamples]] = field(default_factory=list, init=False, repr=False)

    def ranks(self, work: Callable[[DomainSamples], Sequence[Ranks]], count: int) -> list[Ranks]:
        """[N] each: `count` arrays of target ranks [B] that `work` makes of every batch; call on all ranks."""
        ranks = [np.empty(len(self.samples)) for _ in range(count)]
        fill_rows(ranks, self._over(work))
        share_rows(ranks, self.samples, self.items, self.world, few=self.pool is not None)
        return ranks

    def _over(self, work: Callable[[DomainSamples], Made]) -> Iterator[tuple[Ints, Made]]:
        pool = self.pool
        if pool is None:
            yield from over_batches(work, self.samples, self.items, None, self.world)
        elif self._asked:
            for one in side_by_side(lambda kept: (kept[0], work(kept[1])), self._asked, threads=num_threads()):
                beat()
                yield one
        else:

            def ask(batch: DomainSamples) -> tuple[DomainSamples, Made]:
                remembering = batch.remembering(pool.scorers.values())
                return remembering, work(remembering)

            asked = []
            for rows, (batch, made) in over_batches(ask, self.samples, self.items, pool, self.world):
                asked.append((rows, batch))
                yield rows, made
            self._asked.extend(asked)


def fill_rows(ranks: Sequence[Ranks], judged: Iterable[tuple[Ints, Sequence[Ranks]]]) -> None:
    """Put the ranks of batches into their rows [N] of each."""
    for rows, of_batch in judged:
        for ranks_N, ranks_B in zip(ranks, of_batch, strict=True):
            ranks_N[rows] = ranks_B


def own_cuts(samples: Samples, items: Items, world: World | None, *, few: bool) -> Iterator[Cut]:
    """The domain and the rows of each of this rank's batches."""
    for number, cut in enumerate(batch_rows(samples, items, few=few)):
        if world is None or number % world.size == world.rank:
            yield cut


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
