"""Exact top-k search by inner product: a blocked matrix product in torch on any device."""

import numpy as np
import torch
from torch import Tensor

from retrieval.fixed_point import Floats
from retrieval.indexes.topk import Ints, pad_results

SCORES_AT_ONCE = {"cpu": 1 << 23, "cuda": 1 << 28}
QUERIES_AT_ONCE = 1024


class ExactIndex:
    """All scores, block by block; only the best k are kept."""

    def __init__(self, keys: Floats, ids: Ints, *, device: torch.device) -> None:
        """Keys [N, d] with strictly increasing ids [N]."""
        assert len(keys) == len(ids)
        assert bool((np.diff(ids) > 0).all()), "ids must increase"
        self._keys = torch.from_numpy(np.ascontiguousarray(keys, dtype=np.float32)).to(device)
        self._ids = ids

    def search(self, queries: Floats, k: int) -> tuple[Floats, Ints]:
        """See `TopKIndex`."""
        depth = min(k, len(self._ids))
        blocks = [
            self._search_block(queries[start : start + QUERIES_AT_ONCE], depth)
            for start in range(0, len(queries), QUERIES_AT_ONCE)
        ]
        scores = np.concatenate([np.empty((0, depth), np.float32), *(part for part, _ in blocks)])
        rows = np.concatenate([np.empty((0, depth), np.int64), *(part for _, part in blocks)])
        return pad_results(scores, self._ids[rows], k)

    def _search_block(self, queries: Floats, k: int) -> tuple[Floats, Ints]:
        queries_BD = torch.from_numpy(np.ascontiguousarray(queries, dtype=np.float32)).to(self._keys.device)
        width = max(k, SCORES_AT_ONCE[self._keys.device.type] // max(1, len(queries)))
        best_scores: Tensor | None = None
        best_rows: Tensor | None = None
        for start in range(0, len(self._keys), width):
            scores, rows = top_columns(queries_BD @ self._keys[start : start + width].T, k)
            rows = rows + start
            if best_scores is not None and best_rows is not None:
                scores = torch.cat([best_scores, scores], dim=1)  # earlier rows come first: a stable sort keeps them
                rows = torch.cat([best_rows, rows], dim=1)
                scores, order = torch.sort(scores, dim=1, descending=True, stable=True)
                scores, rows = scores[:, :k], rows.gather(1, order[:, :k])
            best_scores, best_rows = scores, rows
        if best_scores is None or best_rows is None:
            return np.empty((len(queries), 0), np.float32), np.empty((len(queries), 0), np.int64)
        return best_scores.cpu().numpy(), best_rows.cpu().numpy()


def top_columns(scores_BN: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k largest scores of each row and their columns, best first, ties by lower column.

    `torch.topk` breaks ties as it likes; rows where that could matter are done again on (score, column) in one integer.
    """
    num_columns = scores_BN.shape[1]
    k = min(k, num_columns)
    scores, columns = torch.topk(scores_BN, min(k + 1, num_columns), dim=1)
    if k < num_columns:
        tied = (scores[:, k - 1] == scores[:, k]).nonzero()[:, 0]
        scores, columns = scores[:, :k], columns[:, :k]
        if len(tied):
            columns = columns.clone()
            columns[tied] = _top_columns_with_ties(scores_BN[tied], k)
    columns = columns.sort(dim=1).values
    scores, order = torch.sort(scores_BN.gather(1, columns), dim=1, descending=True, stable=True)
    return scores, columns.gather(1, order)


def _top_columns_with_ties(scores_BN: Tensor, k: int) -> Tensor:
    bits = (scores_BN + 0.0).view(torch.int32)  # + 0.0: minus zero is zero
    ordered = bits ^ ((bits >> 31) & 0x7FFFFFFF)  # integers in the order of the floats
    columns = torch.arange(scores_BN.shape[1], device=scores_BN.device)
    packed = (ordered.to(torch.int64) << 32) | (0xFFFFFFFF - columns)
    return 0xFFFFFFFF - (packed.topk(k, dim=1).values & 0xFFFFFFFF)
