"""Exact top-k search by FAISS: a flat index on the CPU, or on this rank's GPU where the FAISS build has one."""

import faiss
import numpy as np
import torch

from retrieval.fixed_point import Floats
from retrieval.indexes.exact import ExactIndex
from retrieval.indexes.topk import Ints, pad_results

MAX_GPU_K = 2048  # FAISS's own limit for k on a GPU


class FaissIndex:
    """`IndexFlatIP` with ties by lower id.

    FAISS keeps any of the keys that tie at rank k. So one more is asked for, and the rows where the tie runs over the
    edge are answered by `ExactIndex` on the same keys.
    """

    def __init__(self, keys: Floats, ids: Ints, *, device: torch.device) -> None:
        """Keys [N, d] with strictly increasing ids [N]."""
        keys = np.ascontiguousarray(keys, dtype=np.float32)
        self._ids = ids
        self._index: faiss.Index = faiss.IndexFlatIP(keys.shape[1])
        self._max_k = len(ids)
        if device.type == "cuda" and faiss.get_num_gpus() > 0:
            self._resources = faiss.StandardGpuResources()  # must live as long as the index
            self._index = faiss.index_cpu_to_gpu(self._resources, device.index or 0, self._index)
            self._max_k = min(self._max_k, MAX_GPU_K)
        self._index.add(keys)
        if isinstance(self._index, faiss.IndexFlatIP):  # FAISS has its own copy: let go of the caller's
            keys = faiss.rev_swig_ptr(self._index.get_xb(), keys.size).reshape(keys.shape)
        self._exact = ExactIndex(keys, ids, device=device)

    def search(self, queries: Floats, k: int) -> tuple[Floats, Ints]:
        """See `TopKIndex`."""
        num_keys = len(self._ids)
        depth = min(k + 1, num_keys)
        if depth == 0 or depth > self._max_k:
            return self._exact.search(queries, k)
        scores, rows = self._index.search(np.ascontiguousarray(queries, dtype=np.float32), depth)
        order = np.argsort(rows, axis=1)
        scores, rows = np.take_along_axis(scores, order, 1), np.take_along_axis(rows, order, 1)
        order = np.argsort(-scores, axis=1, kind="stable")
        scores, rows = np.take_along_axis(scores, order, 1), np.take_along_axis(rows, order, 1)
        tied = np.flatnonzero(scores[:, k - 1] == scores[:, k]) if depth > k else np.empty(0, dtype=np.int64)
        scores, ids = pad_results(scores, self._ids[rows], k)
        if len(tied):
            scores[tied], ids[tied] = self._exact.search(queries[tied], k)
        return scores, ids
