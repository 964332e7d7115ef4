"""Where each sample's target stands: full ranking over its domain, ties counted against the model.

A rank is 1 for the best. `inf` means not ranked: absent from a truncated list, or filtered as part of the history.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from evaluation.matrices import Floats, history_cells
from evaluation.ranked_lists import NO_ITEM, RankedLists
from pairs.tables import Ints, Items, Samples

Ranks: TypeAlias = NDArray[np.float64]
BATCH_CELLS = 1 << 22
"""Scores in one dense batch: 16 MiB of float32."""


@dataclass(frozen=True)
class DomainSamples:
    """Samples of one domain that are scored together."""

    rows: Ints
    """Their rows in the split."""
    samples: Samples
    domain: int
    ids: range
    """The domain's items, which are the columns of a dense batch of scores."""

    @property
    def ids_array(self) -> Ints:
        """The columns' item ids [C]."""
        return np.arange(self.ids.start, self.ids.stop)


def batches(samples: Samples, items: Items) -> Iterator[DomainSamples]:
    """All samples once, by domain, as many at a time as keep a dense batch small."""
    for domain in (0, 1):
        ids = items.ids(domain)
        rows_D = np.flatnonzero(samples.domain == domain)
        size = max(1, BATCH_CELLS // max(1, len(ids)))
        for start in range(0, len(rows_D), size):
            rows = rows_D[start : start + size]
            yield DomainSamples(rows, samples.take(rows), domain, ids)


def without_history(scores_BC: Floats, batch: DomainSamples) -> Floats:
    """A copy in which the items of each sample's own history cannot be recommended."""
    allowed_BC = scores_BC.copy()
    allowed_BC[history_cells(batch.samples, batch.ids)] = -np.inf
    return allowed_BC


def target_ranks(scores_BC: Floats, batch: DomainSamples) -> Ranks:
    """[B] rank of each target among the columns; an item with the target's score stands before it."""
    columns_B = batch.samples.target - batch.ids.start
    own_B = scores_BC[np.arange(len(columns_B)), columns_B]
    ranks_B = np.asarray(np.count_nonzero(scores_BC >= own_B[:, None], axis=1), dtype=np.float64)
    ranks_B[own_B == -np.inf] = np.inf
    return ranks_B


def list_ranks(lists: RankedLists, samples: Samples, *, num_items: int, filter_history: bool) -> Ranks:
    """[N] rank of each target in its list (row n of `lists` is sample n); inf where the list does not hold it."""
    assert np.array_equal(lists.sample, samples.sample), "lists are not aligned with the samples"
    counted_NK = lists.items != NO_ITEM
    if filter_history:
        counted_NK &= ~in_history(lists.items, samples, num_items=num_items)
    is_target_NK = counted_NK & (lists.items == samples.target[:, None])
    own_N = np.where(is_target_NK, lists.scores, -np.inf).max(axis=1, initial=-np.inf)
    ahead_NK = counted_NK & (lists.scores >= own_N[:, None])
    ranks_N = np.asarray(np.count_nonzero(ahead_NK, axis=1), dtype=np.float64)
    ranks_N[~is_target_NK.any(axis=1)] = np.inf
    return ranks_N


def in_history(items_NK: Ints, samples: Samples, *, num_items: int) -> NDArray[np.bool_]:
    """[N, K] whether an item is in its sample's own history."""
    row = samples.item_rows
    seen = row * num_items + samples.history
    asked_NK = np.arange(len(samples))[:, None] * num_items + items_NK
    return np.asarray(np.isin(asked_NK, seen) & (items_NK != NO_ITEM))
