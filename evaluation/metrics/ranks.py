"""Where each sample's target stands: full ranking over its domain, ties counted against the model.

A rank is 1 for the best. `inf` means not ranked: absent from a truncated list, filtered as part of the history, or, in
a domain of too many items, no candidate (evaluation/candidates/pool.py).
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from evaluation.candidates.asked import Scorer
from evaluation.candidates.pool import Nominees, Pool, scores_at
from evaluation.matrices import Floats
from evaluation.ranked_lists import NO_ITEM, RankedLists
from pairs.tables import Ints, Items, Samples

Ranks: TypeAlias = NDArray[np.float64]
BATCH_CELLS = 1 << 22
"""Scores in one dense batch: 16 MiB of float32."""


SAMPLES_AT_ONCE = 64
"""In a batch of candidates, however many items there are."""


@dataclass(frozen=True)
class DomainSamples:
    """Samples of one domain that are scored together.

    A batch of scores [B, C] has a column for every item of the domain or, with `nominees`, for each of a sample's own
    candidates, in order of their ids; behind a sample's last candidate scores are -inf.
    """

    rows: Ints
    """Their rows in the split."""
    samples: Samples
    domain: int
    ids: range
    """The domain's items."""
    nominees: Nominees | None = None
    remembered: Mapping[int, Floats] = field(default_factory=dict)
    """[B, C] what scorers say, by their `id`."""

    @property
    def num_columns(self) -> int:
        """C."""
        return len(self.ids) if self.nominees is None else self.nominees.items.shape[1]

    @property
    def columns(self) -> Ints:
        """The columns' item ids: [C], or [B, C] where each sample has its own."""
        return np.arange(self.ids.start, self.ids.stop) if self.nominees is None else self.nominees.items

    def score(self, scorer: Scorer, samples: Samples | None = None) -> Floats:
        """[B, C] scores of these samples, or of `samples` in their place."""
        if samples is None and id(scorer) in self.remembered:
            return self.remembered[id(scorer)]
        asked = self.samples if samples is None else samples
        if self.nominees is None:
            return scorer.score(asked, self.domain)
        of_these = self.nominees if samples is None else Nominees(self.nominees.items, self.nominees.depth)
        return scores_at(scorer, asked, self.domain, of_these, self.ids)

    def scores(self, scorers: Mapping[str, Scorer]) -> dict[str, Floats]:
        """[B, C] by each of several scorers."""
        return {name: self.score(scorer) for name, scorer in scorers.items()}

    def remembering(self, scorers: Iterable[Scorer]) -> "DomainSamples":
        """The same with what scorers say of them, and without the answers that this came from."""
        assert self.nominees is not None
        bare = Nominees(self.nominees.items, self.nominees.depth)
        return replace(self, nominees=bare, remembered={id(scorer): self.score(scorer) for scorer in scorers})

    def column_of(self, row_P: Ints, item_P: Ints) -> tuple[Ints, NDArray[np.bool_]]:
        """[P] the columns of some items in some rows, and whether there is one; any column where there is none."""
        inside_P = (item_P >= self.ids.start) & (item_P < self.ids.stop)
        if self.nominees is None:
            return np.where(inside_P, item_P - self.ids.start, 0), inside_P
        items_BP = self.nominees.items
        width = self.ids.stop + 1
        keys = (np.arange(len(items_BP))[:, None] * width + items_BP).ravel()
        wanted_P = row_P * width + np.where(inside_P, item_P, self.ids.stop)
        place_P = np.minimum(np.searchsorted(keys, wanted_P), len(keys) - 1)
        there_P = inside_P & (keys[place_P] == wanted_P)
        return np.where(there_P, place_P - row_P * items_BP.shape[1], 0), there_P

    def item_at(self, row_P: Ints, column_P: Ints) -> Ints:
        """[P] the items in some columns of some rows."""
        return column_P + self.ids.start if self.nominees is None else self.nominees.items[row_P, column_P]


def batches(samples: Samples, items: Items, pool: Pool | None = None) -> Iterator[DomainSamples]:
    """All samples once, by domain, as many at a time as keep a dense batch small.

    Args:
        pool: who nominates candidates; None: all items of a domain are scored.
    """
    for domain, rows in batch_rows(samples, items, few=pool is not None):
        yield make_batch(samples, items, pool, domain, rows)


def batch_rows(samples: Samples, items: Items, *, few: bool) -> Iterator[tuple[int, Ints]]:
    """The domain and the rows of each batch; `few` items are scored for each sample, or all of the domain."""
    for domain in (0, 1):
        rows_D = np.flatnonzero(samples.domain == domain)
        size = SAMPLES_AT_ONCE if few else max(1, BATCH_CELLS // max(1, len(items.ids(domain))))
        for start in range(0, len(rows_D), size):
            yield domain, rows_D[start : start + size]


def make_batch(samples: Samples, items: Items, pool: Pool | None, domain: int, rows: Ints) -> DomainSamples:
    """The samples of some rows, which are of one domain, with their candidates where there is a pool."""
    these, ids = samples.take(rows), items.ids(domain)
    nominees = None if pool is None else pool.nominees(rows, these, domain, ids)
    return DomainSamples(rows, these, domain, ids, nominees)


def without_history(scores_BC: Floats, batch: DomainSamples) -> Floats:
    """A copy in which the items of each sample's own history cannot be recommended."""
    allowed_BC = scores_BC.copy()
    row = batch.samples.item_rows
    column, there = batch.column_of(row, batch.samples.history)
    allowed_BC[row[there], column[there]] = -np.inf
    return allowed_BC


def target_ranks(scores_BC: Floats, batch: DomainSamples) -> Ranks:
    """[B] rank of each target among the columns; items with the target's score, or with none that is a number, stand
    before it."""
    row_B = np.arange(len(batch.rows))
    column_B, there_B = batch.column_of(row_B, batch.samples.target)
    own_B = np.where(there_B, scores_BC[row_B, column_B], -np.inf)
    ranks_B = np.asarray(np.count_nonzero(~(scores_BC < own_B[:, None]), axis=1), dtype=np.float64)
    ranks_B[own_B == -np.inf] = np.inf
    if batch.nominees is not None:
        ranks_B[ranks_B > batch.nominees.depth] = np.inf
    return ranks_B


def list_ranks(lists: RankedLists, samples: Samples, *, num_items: int, filter_history: bool) -> Ranks:
    """[N] rank of each target in its list (row n of `lists` is sample n); inf where the list does not hold it."""
    assert np.array_equal(lists.sample, samples.sample), "lists are not aligned with the samples"
    counted_NK = lists.items != NO_ITEM
    if filter_history:
        counted_NK &= ~in_history(lists.items, samples, num_items=num_items)
    is_target_NK = counted_NK & (lists.items == samples.target[:, None])
    own_N = np.where(is_target_NK, lists.scores, -np.inf).max(axis=1, initial=-np.inf)
    ahead_NK = counted_NK & ~(lists.scores < own_N[:, None])
    ranks_N = np.asarray(np.count_nonzero(ahead_NK, axis=1), dtype=np.float64)
    ranks_N[~is_target_NK.any(axis=1)] = np.inf
    return ranks_N


def in_history(items_NK: Ints, samples: Samples, *, num_items: int) -> NDArray[np.bool_]:
    """[N, K] whether an item is in its sample's own history."""
    row = samples.item_rows
    seen = row * num_items + samples.history
    asked_NK = np.arange(len(samples))[:, None] * num_items + items_NK
    return np.asarray(np.isin(asked_NK, seen) & (items_NK != NO_ITEM))
