"""Exact search: every key of every block that may answer."""

import numpy as np

from retrieval.fixed_point import Floats
from retrieval.indexes.key_blocks import OpenBlocks
from retrieval.indexes.topk import NOBODY, Ints, best_of, unpack


class FlatIndex:
    """A `TopKIndex` of all the keys."""

    def __init__(self, blocks: OpenBlocks) -> None:
        self._blocks = blocks

    def search(self, queries: Floats, k: int, before: Ints | None = None) -> tuple[Floats, Ints]:
        """See `TopKIndex`."""
        queries_BD = self._blocks.to_device(queries)
        num_blocks = len(self._blocks.blocks)
        if num_blocks == 1 and before is None:
            return unpack(best_of(self._blocks.visit(0, queries_BD, k, None), k))
        best = np.full((len(queries), k), NOBODY, dtype=np.int64)
        for block in range(num_blocks):
            rows = np.arange(len(queries))
            if before is not None:
                rows = np.flatnonzero(self._blocks.blocks.may_answer(block, before))
            if len(rows):
                asked = queries_BD if len(rows) == len(queries) else queries_BD[rows]
                visited = self._blocks.visit(block, asked, k, None if before is None else before[rows])
                best[rows] = best_of(np.concatenate([best[rows], visited], axis=1), k)
        return unpack(best)
