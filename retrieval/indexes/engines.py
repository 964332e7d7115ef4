"""Inner products of queries with one block of keys: by torch on any device, or by FAISS."""

from typing import Protocol

import faiss
import numpy as np
import torch
from torch import Tensor

from retrieval.indexes.config import Backend
from retrieval.indexes.topk import Ints, pack

SCORES_AT_ONCE = {"cpu": 1 << 23, "cuda": 1 << 28}
QUERIES_AT_ONCE = 1024
MAX_GPU_K = 2048  # FAISS's own limit for k on a GPU


class BlockSearch(Protocol):
    """How the best keys of a block are sought."""

    def best(self, queries_BD: Tensor, keys_ND: Tensor, k: int) -> Ints:
        """The best keys of each query, packed, with columns for ids: [B, min(k, N)], ties by lower column."""
        ...


class TorchSearch:
    """All scores, some columns at a time; only the best k are kept."""

    def best(self, queries_BD: Tensor, keys_ND: Tensor, k: int) -> Ints:
        """See `BlockSearch`."""
        return best_columns(queries_BD, keys_ND, k)


class FaissSearch:
    """FAISS's flat search on the CPU.

    FAISS keeps any of the keys that tie at rank k. So one more is asked for, and the rows where the tie runs over the
    edge are answered by torch.
    """

    def best(self, queries_BD: Tensor, keys_ND: Tensor, k: int) -> Ints:
        """See `BlockSearch`."""
        num_keys = len(keys_ND)
        depth = min(k + 1, num_keys)
        if depth == 0 or len(queries_BD) == 0:
            return np.empty((len(queries_BD), min(k, num_keys)), dtype=np.int64)
        scores, columns = self._search(queries_BD, keys_ND, depth)
        packed = np.sort(pack(scores, columns), axis=1)[:, :k]
        if depth > k:
            scores = -np.sort(-scores, axis=1)
            tied = np.flatnonzero(scores[:, k - 1] == scores[:, k])
            if len(tied):
                packed[tied] = best_columns(queries_BD[torch.from_numpy(tied).to(queries_BD.device)], keys_ND, k)
        return packed

    def _search(self, queries_BD: Tensor, keys_ND: Tensor, depth: int) -> tuple[np.ndarray, Ints]:
        return faiss.knn(queries_BD.numpy(), keys_ND.numpy(), depth, metric=faiss.METRIC_INNER_PRODUCT)


class FaissGpuSearch(FaissSearch):
    """The same on this rank's GPU, where the keys are; what FAISS's kernels cannot do is done by torch."""

    def __init__(self) -> None:
        import faiss.contrib.torch_utils

        self._resources = faiss.StandardGpuResources()

    def best(self, queries_BD: Tensor, keys_ND: Tensor, k: int) -> Ints:
        """See `BlockSearch`."""
        if k + 1 > MAX_GPU_K:
            return best_columns(queries_BD, keys_ND, k)
        return super().best(queries_BD, keys_ND, k)

    def _search(self, queries_BD: Tensor, keys_ND: Tensor, depth: int) -> tuple[np.ndarray, Ints]:
        scores, columns = faiss.knn_gpu(self._resources, queries_BD, keys_ND, depth, metric=faiss.METRIC_INNER_PRODUCT)
        return scores.cpu().numpy(), columns.cpu().numpy()


def search_for(backend: Backend, device: torch.device) -> BlockSearch:
    """The configured engine; FAISS without a GPU build leaves a GPU to torch."""
    if backend == "torch":
        return TorchSearch()
    if device.type == "cuda":
        return FaissGpuSearch() if faiss.get_num_gpus() > 0 else TorchSearch()
    return FaissSearch()


def best_columns(
    queries_BD: Tensor, keys_ND: Tensor, k: int, *, times_N: Tensor | None = None, before_B: Tensor | None = None
) -> Ints:
    """As `BlockSearch.best`; with times, only of keys whose time lies before the query's (others: score -inf)."""
    packed = []
    for start in range(0, max(1, len(queries_BD)), QUERIES_AT_ONCE):
        rows = slice(start, start + QUERIES_AT_ONCE)
        packed.append(_best(queries_BD[rows], keys_ND, k, times_N, None if before_B is None else before_B[rows]))
    return np.concatenate(packed)


def _best(queries_BD: Tensor, keys_ND: Tensor, k: int, times_N: Tensor | None, before_B: Tensor | None) -> Ints:
    width = max(k, SCORES_AT_ONCE[keys_ND.device.type] // max(1, len(queries_BD)))
    best_scores = queries_BD.new_empty((len(queries_BD), 0))
    best_columns = torch.empty((len(queries_BD), 0), dtype=torch.int64, device=keys_ND.device)
    for start in range(0, len(keys_ND), width):
        scores_BN = queries_BD @ keys_ND[start : start + width].T
        if times_N is not None and before_B is not None:
            scores_BN.masked_fill_(times_N[None, start : start + width] >= before_B[:, None], -torch.inf)
        scores, columns = top_columns(scores_BN, k)
        if start:
            scores = torch.cat([best_scores, scores], dim=1)  # earlier columns come first: a stable sort keeps them
            columns = torch.cat([best_columns, columns + start], dim=1)
            scores, order = torch.sort(scores, dim=1, descending=True, stable=True)
            scores, columns = scores[:, :k], columns.gather(1, order[:, :k])
        best_scores, best_columns = scores, columns
    return pack(best_scores.cpu().numpy(), best_columns.cpu().numpy())


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
