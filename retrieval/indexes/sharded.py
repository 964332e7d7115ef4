"""One index over all ranks: each holds its share of the keys and has the answers to its share of the queries.

Every rank asks its shard all queries and sends each rank what it found for that one's queries; so a rank merges a
share that does not grow with the number of ranks, and no rank holds all answers.
"""

from collections.abc import Sequence
from typing import Generic, TypeVar

import numpy as np
import torch

from launch.distributed import World
from retrieval.fixed_point import Floats
from retrieval.indexes.topk import Ints, TopKIndex, best_of, pack, unpack

Query = TypeVar("Query")


class ShardedIndex(Generic[Query]):
    """Searches every rank's shard and merges."""

    def __init__(self, world: World, shard: TopKIndex[Query], *, exact: TopKIndex[Query] | None = None) -> None:
        """`shard` holds this rank's keys; their ids differ from those of all others.

        Args:
            exact: of the same keys, where `shard` does not find all.
        """
        self.world = world
        self._shard = shard
        self.exact = None if exact is None else ShardedIndex(world, exact)

    def search(self, queries: Query, k: int, *, before: Ints | None = None, cuts: Sequence[int]) -> tuple[Floats, Ints]:
        """The k best of all shards, as in `TopKIndex`, for this rank's queries: `cuts[rank]` to `cuts[rank + 1]`.

        A collective: all ranks call it with the same arguments.
        """
        scores, ids = self._shard.search(queries, k, before)
        if self.world.size == 1:
            return scores, ids
        parts = self.world.exchange(torch.from_numpy(pack(scores, ids)), cuts)
        return merge_shards([part.cpu().numpy() for part in parts], k)

    def agree(self, rows: Ints) -> Ints:
        """The rows that some rank has, in rank order; a collective."""
        return torch.cat(self.world.gather(torch.from_numpy(rows))).cpu().numpy()


def merge_shards(packed: Sequence[Ints], k: int) -> tuple[Floats, Ints]:
    """The best k of several packed results [B, k]; ties by lower id."""
    return unpack(best_of(np.concatenate(packed, axis=1), k))
