"""Approximate search by an index of FAISS that proposes keys, which are then scored exactly.

FAISS numbers the keys by their places in the blocks, which are spans of time where times count: a query that asks for
the past is answered out of the spans up to the one that it falls into, and what is not past is left out of what comes
back.
"""

from typing import Any

import faiss
import numpy as np

from launch.errors import InputError
from launch.watch.beats import beat
from retrieval.fixed_point import Floats
from retrieval.indexes.config import IndexConfig
from retrieval.indexes.key_blocks import BUILD_ROWS, KeyBlocks, OpenBlocks
from retrieval.indexes.lists import one_thread
from retrieval.indexes.topk import NOBODY, Ints, best_of, pack, unpack

CODES = 256
"""Of each part of a vector in ivf_pq: one byte."""
NUMBERS_AT_ONCE = 1 << 24
MORE_OF_SPANS = 2
"""Times as many are proposed where some of them may turn out not to be past."""


class ProposalsIndex:
    """A `TopKIndex` whose rows may end early."""

    def __init__(self, index: faiss.Index, blocks: OpenBlocks, config: IndexConfig) -> None:
        """`index` has the keys of `blocks` in their order; `config` is resolved."""
        self._index = index
        self._blocks = blocks
        self._config = config

    def search(self, queries: Floats, k: int, before: Ints | None = None) -> tuple[Floats, Ints]:
        """See `TopKIndex`."""
        keys = self._blocks.blocks
        packed = np.full((len(queries), k), NOBODY, dtype=np.int64)
        ends = np.full(len(queries), len(keys.ids))
        if before is not None and keys.times is not None:
            answering = np.stack([keys.may_answer(block, before) for block in range(len(keys))])
            ends = keys.offsets[answering.sum(axis=0)]
        for end in np.unique(ends[ends > 0]).tolist():
            rows = np.flatnonzero(ends == end)
            depth = k * (self._config.refine if self._config.kind == "ivf_pq" else 1)
            depth = min(end, depth if before is None else MORE_OF_SPANS * depth)
            _, places = self._index.search(
                np.ascontiguousarray(_widened(queries[rows], self._index.d)), depth, params=self._parameters(end, depth)
            )
            packed[rows] = best_of(self._scored(queries[rows], places, None if before is None else before[rows]), k)
        return unpack(packed)

    def _scored(self, queries: Floats, places: Ints, before: Ints | None) -> Ints:
        """The exact scores of proposed keys, packed [B, depth]."""
        keys = self._blocks.blocks
        packed = np.empty(places.shape, dtype=np.int64)
        at_once = max(1, NUMBERS_AT_ONCE // max(1, places.shape[1] * queries.shape[1]))
        for start in range(0, len(queries), at_once):
            rows = slice(start, start + at_once)
            vectors = keys.keys[np.maximum(places[rows], 0)].astype(np.float32)
            scores = np.matmul(vectors, queries[rows, :, None])[:, :, 0]
            packed[rows] = pack(scores, keys.ids[np.maximum(places[rows], 0)])
        counts = places >= 0
        if before is not None and keys.times is not None:
            counts &= keys.times[np.maximum(places, 0)] < before[:, None]
        return np.where(counts, packed, NOBODY)

    def _parameters(self, end: int, depth: int) -> Any:  # Any: FAISS's stubs lack what its module has
        library: Any = faiss
        selector = None if end == len(self._blocks.blocks.ids) else library.IDSelectorRange(0, end)
        if self._config.kind == "hnsw":
            return library.SearchParametersHNSW(sel=selector, efSearch=max(self._config.ef, depth))
        return library.SearchParametersIVF(sel=selector, nprobe=self._config.nprobe)


def hnsw_index(blocks: KeyBlocks, config: IndexConfig) -> faiss.Index:
    """A graph of keys, which it holds in 16 bits."""
    index = empty_hnsw(blocks, config)
    with one_thread():
        add_keys(index, blocks)
    return index


def empty_hnsw(blocks: KeyBlocks, config: IndexConfig) -> faiss.Index:
    """The same without keys."""
    width = blocks.keys.shape[1]
    sixteen_bits: Any = faiss.ScalarQuantizer.QT_fp16  # Any: the stubs have another type
    index = faiss.IndexHNSWSQ(width, sixteen_bits, config.m, faiss.METRIC_INNER_PRODUCT)
    index.train(np.zeros((1, width), dtype=np.float32))  # 16-bit floats learn nothing
    return index


def pq_index(blocks: KeyBlocks, centroids: Floats, codebooks: Floats) -> faiss.Index:
    """Lists of codes; `codebooks` [M, 256, d / M]."""
    width = codebooks.shape[0] * codebooks.shape[2]
    quantizer = faiss.IndexFlatIP(width)
    quantizer.add(_widened(centroids, width))
    index = faiss.IndexIVFPQ(quantizer, width, len(centroids), codebooks.shape[0], 8, faiss.METRIC_INNER_PRODUCT)
    index.by_residual = False
    faiss.copy_array_to_vector(np.ascontiguousarray(codebooks, dtype=np.float32).ravel(), index.pq.centroids)
    index.is_trained = True
    add_keys(index, blocks)
    return index


def train_codebooks(sample: Floats, pq_bytes: int) -> Floats:
    """What the bytes of codes stand for [M, 256, d / M], with the width rounded up to a multiple of M."""
    if len(sample) < CODES:
        raise InputError(f"retrieval.index.kind=ivf_pq needs at least {CODES} train histories, got {len(sample)}")
    parts = min(pq_bytes, sample.shape[1])
    width = -(-sample.shape[1] // parts) * parts
    quantizer = faiss.ProductQuantizer(width, parts, 8)
    quantizer.cp.min_points_per_centroid = 1  # fewer are no error, and FAISS would say so for every part
    with one_thread():
        quantizer.train(np.ascontiguousarray(_widened(sample, width)))
    return faiss.vector_to_array(quantizer.centroids).reshape(parts, CODES, width // parts)


def add_keys(index: faiss.Index, blocks: KeyBlocks) -> None:
    """All keys, a part at a time."""
    for start in range(0, len(blocks.keys), BUILD_ROWS):
        beat()
        keys = blocks.keys[start : start + BUILD_ROWS].astype(np.float32)
        index.add(np.ascontiguousarray(_widened(keys, index.d)))


def _widened(vectors: Floats, width: int) -> Floats:
    """With zeros up to a width."""
    return np.pad(vectors, ((0, 0), (0, width - vectors.shape[1]))).astype(np.float32, copy=False)
