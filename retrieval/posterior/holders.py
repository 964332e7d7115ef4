"""Who holds what is expected: a sparse inner product of lists of items with train histories, exact to the bit.

    score(u) = sum of p(item | my history) over the items of u's history / cube root of how many they are

With the cube root the users found have histories about as long as anyone's; undivided, sums find twice as long ones,
and the square root finds short ones. Sums are of whole numbers; one division and one rounding to float32 follow, of
each user by itself. So a score does not depend on which rank holds the user, and ties go by the lower id as in every
index.
"""

import dataclasses
from collections.abc import Iterator
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from evaluation.kth_largest import kth_largest
from pairs.ragged import offsets_of, rows_of, segments
from pairs.tables import Ints, Samples
from retrieval.fixed_point import Floats
from retrieval.indexes.topk import NOBODY, pack, pad_results, unpack
from retrieval.posterior.expected import ONE, ExpectedItems

SCORES_AT_ONCE = 1 << 22
QUERIES_AT_ONCE = 1024
CELLS_AT_ONCE = 1 << 22
MARGIN = 1e-6
"""Four times what a rough score may be off."""
Scalar = TypeVar("Scalar", bound=np.generic)


class HoldersIndex:
    """A `TopKIndex` of the histories of one rank's share of the keys; users with nothing of the list are not found."""

    def __init__(self, histories: sp.csr_array, ids: Ints, times: Ints | None = None) -> None:
        """Histories [N, I] of ones, as `item_sets` makes them, with strictly increasing ids [N] and maybe times [N]."""
        assert histories.shape[0] == len(ids)
        # 32 bits: what a list's items weigh together is hardly above 2^24
        self._holders = sp.csr_array(histories.T.astype(np.int32))  # [I, N]
        self._roots = length_roots(np.diff(histories.indptr))
        self._inverse_roots = (1 / (ONE * self._roots)).astype(np.float32)
        self._ids = ids
        self._times = times

    def search(self, queries: ExpectedItems, k: int, before: Ints | None = None) -> tuple[Floats, Ints]:
        """See `TopKIndex`."""
        depth = min(k, len(self._ids))
        parts = [
            self._best(queries[rows], depth, None if before is None else before[rows]) for rows in self._blocks(queries)
        ]
        scores, ids = unpack(np.concatenate([np.empty((0, depth), np.int64), *parts]))
        return pad_results(scores, ids, k)

    def _blocks(self, queries: ExpectedItems) -> Iterator[Ints]:
        """Rows of the queries, as many at a time as have `SCORES_AT_ONCE` scores at most, or one."""
        held_by = np.append(np.diff(self._holders.indptr), 0)  # [I + 1]; NO_ITEM is the last
        scores_B = held_by[queries.items].sum(axis=1)
        start = 0
        while start < len(queries):
            total = np.cumsum(scores_B[start : start + QUERIES_AT_ONCE])
            count = max(1, int(np.searchsorted(total, SCORES_AT_ONCE, side="right")))
            yield np.arange(start, min(start + count, len(queries)))
            start += count

    def _best(self, queries: ExpectedItems, k: int, before: Ints | None) -> Ints:
        sums = sp.csr_array(query_matrix(queries, num_items=self._holders.shape[0]) @ self._holders)
        row_P, key_P, sum_P = rows_of(np.diff(sums.indptr)), sums.indices, sums.data
        if before is not None and self._times is not None:
            is_past_P = self._times[key_P] < before[row_P]
            row_P, key_P, sum_P = row_P[is_past_P], key_P[is_past_P], sum_P[is_past_P]
        lengths = np.bincount(row_P, minlength=len(queries))
        near_P = _may_be_best(sum_P.astype(np.float32) * self._inverse_roots[key_P], lengths, k)
        row_P, key_P, sum_P = row_P[near_P], key_P[near_P], sum_P[near_P]
        packed_P = pack(share_of(sum_P, self._roots[key_P]), self._ids[key_P])
        return _best_of_rows(packed_P, np.bincount(row_P, minlength=len(queries)), k)


def _may_be_best(rough_P: Floats, lengths: Ints, k: int) -> Ints:
    """Places of those that can be among the k best of their rows, by scores that are off by 2^-22 of themselves at
    most; exact scores of all others would take longer than to find them."""
    least = [np.zeros(0, dtype=np.float32)]
    for rows, cells in _blocks_of(rough_P, lengths, k, nothing=np.float32(-1)):
        least.append(np.where(lengths[rows] > k, kth_largest(cells, k) * np.float32(1 - MARGIN), np.float32(-1)))
    return np.flatnonzero(rough_P >= np.repeat(np.concatenate(least), lengths))


def _best_of_rows(packed_P: Ints, lengths: Ints, k: int) -> Ints:
    """The k best of each of rows that lie end to end, packed [B, k]."""
    best = np.full((len(lengths), k), NOBODY, dtype=np.int64)
    for rows, cells in _blocks_of(packed_P, lengths, k, nothing=np.int64(NOBODY)):
        if k < cells.shape[1]:
            cells = np.partition(cells, k - 1, axis=1)[:, :k]
        best[rows] = np.sort(cells, axis=1)
    return best


def _blocks_of(
    values_P: npt.NDArray[Scalar], lengths: Ints, k: int, *, nothing: Scalar
) -> Iterator[tuple[slice, npt.NDArray[Scalar]]]:
    """Rows that lie end to end as matrices, some at a time, at least k wide, filled up with `nothing`."""
    offsets = offsets_of(lengths)
    width = max(k, int(lengths.max(initial=0)))
    at_once = max(1, CELLS_AT_ONCE // max(1, width))
    for start in range(0, len(lengths), at_once):
        rows = slice(start, start + at_once)
        cells = np.full((len(lengths[rows]), width), nothing, dtype=values_P.dtype)
        inside = values_P[offsets[start] : offsets[min(start + at_once, len(lengths))]]
        cells[np.arange(width) < lengths[rows, None]] = inside
        yield rows, cells


def length_roots(num_held: Ints) -> npt.NDArray[np.float64]:
    """What the sums over so many items are divided by."""
    return np.asarray(np.cbrt(np.maximum(1, num_held)))


def share_of(sums: npt.NDArray[np.generic], roots: npt.NDArray[np.float64]) -> Floats:
    """Scores of sums of weights, which are whole numbers."""
    return np.asarray(sums.astype(np.float64) / (ONE * roots), dtype=np.float32)


def query_matrix(queries: ExpectedItems, *, num_items: int) -> sp.csr_array:
    """The weights as a matrix [B, I]."""
    present_BK = queries.weights > 0
    offsets = offsets_of(present_BK.sum(axis=1))
    cells = (queries.weights[present_BK].astype(np.int32), queries.items[present_BK], offsets)
    return sp.csr_array(cells, shape=(len(queries), num_items))


def latest_items(samples: Samples, recent: int | None) -> Samples:
    """The samples with only the most recent items of their histories; None: with all."""
    if recent is None:
        return samples
    lengths = np.minimum(samples.lengths, recent)
    flat = segments(samples.offsets[1:] - lengths, lengths)
    times = None if samples.history_time is None else samples.history_time[flat]
    return dataclasses.replace(samples, history=samples.history[flat], offsets=offsets_of(lengths), history_time=times)


def item_sets(samples: Samples, rows: Ints, *, num_items: int) -> sp.csr_array:
    """The items of each history, each once, as a matrix of ones [len(rows), I]."""
    kept = samples.take(rows)
    cells = np.unique(rows_of(kept.lengths) * num_items + kept.history)
    offsets = offsets_of(np.bincount(cells // num_items, minlength=len(rows)))
    return sp.csr_array((np.ones(len(cells), np.int64), cells % num_items, offsets), shape=(len(rows), num_items))
