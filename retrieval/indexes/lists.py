"""Approximate search by lists: keys lie with the nearest of a few hundred directions, queries visit the nearest lists.

All queries that visit a list are multiplied with it at once, so a list is read once for thousands of queries and can
lie on disk. The directions are on the grid like the keys: which list a key is in, and which a query visits, does not
depend on who else is asked or on the rank that asks. So any number of ranks finds the same.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import faiss
import numpy as np
import torch

from launch.watch.beats import beat
from retrieval.fixed_point import Floats, to_grid, to_unit_length
from retrieval.indexes.engines import best_columns
from retrieval.indexes.key_blocks import BUILD_ROWS, OpenBlocks, Source
from retrieval.indexes.topk import NOBODY, Ints, best_of, unpack

ROUNDS = 10
RESULTS_AT_ONCE = 1 << 23


class ListsIndex:
    """A `TopKIndex` of keys in lists, one a block; rows may end early where the visited lists have no more."""

    def __init__(self, blocks: OpenBlocks, centroids: Floats, nprobe: int) -> None:
        """`centroids` [L, d], of the lists in order."""
        assert len(centroids) == len(blocks.blocks)
        self._blocks = blocks
        self._centroids = torch.from_numpy(centroids).to(blocks.device)
        self._nprobe = nprobe

    def search(self, queries: Floats, k: int, before: Ints | None = None) -> tuple[Floats, Ints]:
        """See `TopKIndex`."""
        depth = min(k, int(np.diff(self._blocks.blocks.offsets).max(initial=0)))
        at_once = max(1, RESULTS_AT_ONCE // max(1, self._nprobe * depth))
        parts = [np.empty((0, k), dtype=np.int64)]
        for start in range(0, len(queries), at_once):
            rows = slice(start, start + at_once)
            visited = self._visit(queries[rows], depth, None if before is None else before[rows])
            parts.append(best_of(visited, k))
        return unpack(np.concatenate(parts))

    def _visit(self, queries: Floats, depth: int, before: Ints | None) -> Ints:
        """What the visited lists have, packed [B, nprobe * depth]."""
        queries_BD = self._blocks.to_device(queries)
        lists_BP = best_columns(queries_BD, self._centroids, self._nprobe) & 0xFFFFFFFF
        results = np.full((*lists_BP.shape, depth), NOBODY, dtype=np.int64)
        order = np.argsort(lists_BP.ravel(), kind="stable")
        starts = np.searchsorted(lists_BP.ravel()[order], np.arange(len(self._centroids) + 1))
        for number in np.flatnonzero(np.diff(starts)).tolist():
            if self._blocks.blocks.offsets[number] == self._blocks.blocks.offsets[number + 1]:
                continue
            rows, slots = np.divmod(order[starts[number] : starts[number + 1]], lists_BP.shape[1])
            asked = queries_BD[torch.from_numpy(rows).to(self._blocks.device)]
            visited = self._blocks.visit(number, asked, depth, None if before is None else before[rows])
            results[rows, slots, : visited.shape[1]] = visited
        return results.reshape(len(queries), -1)


def train_centroids(sample: Floats, num_lists: int, *, seed: int) -> Floats:
    """Directions [L, d] that k-means finds in some keys, on the grid; on one thread, so the same each time."""
    kmeans = faiss.Kmeans(
        sample.shape[1], num_lists, niter=ROUNDS, seed=seed % 2**31, spherical=True, min_points_per_centroid=1,
        max_points_per_centroid=max(1, len(sample)),
    )  # fmt: skip
    with one_thread():
        kmeans.train(np.ascontiguousarray(sample, dtype=np.float32))
    assert kmeans.centroids is not None
    return to_grid(to_unit_length(kmeans.centroids))


@contextmanager
def one_thread() -> Iterator[None]:
    """FAISS on one thread while it builds: with several, sums and graphs differ from build to build."""
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(threads)


def list_blocks(source: Source, num_keys: int, centroids: Floats, *, device: torch.device) -> tuple[Ints, Ints]:
    """An order of keys [N], list by list and in a list by place, and the lists' offsets [L + 1]."""
    lists = np.empty(num_keys, dtype=np.int64)
    on_device = torch.from_numpy(centroids).to(device)
    for start in range(0, num_keys, BUILD_ROWS):
        beat()
        keys = torch.from_numpy(source(np.arange(start, min(start + BUILD_ROWS, num_keys)))).to(device)
        lists[start : start + len(keys)] = best_columns(keys, on_device, 1)[:, 0] & 0xFFFFFFFF
    order = np.argsort(lists, kind="stable")
    offsets = np.searchsorted(lists[order], np.arange(len(centroids) + 1))
    return order, offsets.astype(np.int64)
