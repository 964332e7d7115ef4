"""One index over all ranks: each holds its contiguous share of the keys, results are merged exactly."""

from typing import Generic, Literal, TypeVar

import numpy as np
import torch

from launch.distributed import World
from retrieval.faiss_index import FaissIndex
from retrieval.fixed_point import Floats
from retrieval.index import ExactIndex, Ints, TopKIndex, pad_results

Query = TypeVar("Query")


class ShardedIndex(Generic[Query]):
    """Searches every rank's shard and merges. `search` is a collective: all ranks call it with the same queries."""

    def __init__(self, world: World, shard: TopKIndex[Query]) -> None:
        """`shard` holds this rank's keys; ids increase from rank to rank."""
        self._world = world
        self._shard = shard

    def search(self, queries: Query, k: int) -> tuple[Floats, Ints]:
        """See `TopKIndex`; the same result on all ranks."""
        if self._world.size == 1:
            return self._shard.search(queries, k)
        scores, ids = self._shard.search(queries, k)
        all_scores = self._world.gather(torch.from_numpy(scores))
        all_ids = self._world.gather(torch.from_numpy(ids))
        return merge_shards([part.cpu().numpy() for part in all_scores], [part.cpu().numpy() for part in all_ids], k)


def merge_shards(scores: list[Floats], ids: list[Ints], k: int) -> tuple[Floats, Ints]:
    """The best k of several sorted results [B, k], given in the order of their ids; ties by lower id."""
    joined_scores, joined_ids = np.concatenate(scores, axis=1), np.concatenate(ids, axis=1)
    order = np.argsort(-joined_scores, axis=1, kind="stable")[:, :k]
    return pad_results(np.take_along_axis(joined_scores, order, 1), np.take_along_axis(joined_ids, order, 1), k)


def build_index(kind: Literal["faiss", "torch"], keys: Floats, ids: Ints, *, device: torch.device) -> TopKIndex[Floats]:
    """An index of the configured kind over keys [N, d] with increasing ids [N]."""
    if kind == "faiss":
        return FaissIndex(keys, ids, device=device)
    return ExactIndex(keys, ids, device=device)
