"""What a scorer answers when it is not asked for all items: its best, and the scores of given items.

B samples, P candidates of a sample, C items of a domain, K places of a list.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from evaluation.matrices import Floats, Sparse
from evaluation.ranked_lists import NO_ITEM, top_k
from pairs.ragged import places_of, rows_of
from pairs.tables import Ints, Samples


class Scorer(Protocol):
    """Whatever can score a domain's items for a batch of samples."""

    def score(self, samples: Samples, domain: int) -> Floats:
        """Scores [B, C] of the C items of `domain` in id order; the higher the better, no NaN."""
        ...


class Nomination(Protocol):
    """The answer of a scorer to the samples of one batch, towards one domain."""

    def best(self, depth: int) -> Ints:
        """[B, K] items that may be among the `depth` best, K of them or fewer, `NO_ITEM` behind."""
        ...

    def at(self, items_BP: Ints) -> Floats:
        """[B, P] scores of items of the domain, as the scorer itself would score them."""
        ...


@runtime_checkable
class Nominator(Protocol):
    """A scorer that need not score all items: one that large catalogues are ranked with."""

    def ask(self, samples: Samples, domain: int) -> Nomination:
        """Its answer to some samples, towards a domain."""
        ...


@dataclass(frozen=True)
class SparseAsked:
    """Scores that are a floor but for a few items of each sample."""

    scores: Sparse
    """[B, C], no column twice in a row."""
    first: int
    """The id of column 0."""
    floor: Floats | None = None
    """[C] added to all items; None: 0. Who only has the floor is not among the best."""

    def best(self, depth: int) -> Ints:
        """The items above the floor."""
        values = self.scores.data
        if self.floor is not None:
            values = values + self.floor[self.scores.indices]
        return best_of_rows(self.scores, values, depth, first=self.first)

    def at(self, items_BP: Ints) -> Floats:
        """[B, P]."""
        columns_BP = items_BP - self.first
        scores_BP = sampled(self.scores, columns_BP)
        return scores_BP if self.floor is None else scores_BP + self.floor[columns_BP]


@dataclass(frozen=True)
class RowsAsked:
    """Scores of those items of a domain that can have any; all others have 0."""

    scores: Floats
    """[B, R]."""
    ids: Ints
    """[R] ascending."""

    def best(self, depth: int) -> Ints:
        """The best of those."""
        return top_k(self.scores, depth, self.ids)[0]

    def at(self, items_BP: Ints) -> Floats:
        """[B, P]."""
        if len(self.ids) == 0:
            return np.zeros(items_BP.shape, dtype=np.float32)
        place_BP = np.minimum(np.searchsorted(self.ids, items_BP), len(self.ids) - 1)
        scores_BP = np.take_along_axis(self.scores, place_BP, axis=1)
        return np.where(self.ids[place_BP] == items_BP, scores_BP, np.float32(0))


@dataclass(frozen=True)
class EqualAsked:
    """Scores that are the same for all samples."""

    scores: Floats
    """[C]."""
    leaders: Ints
    """[K] the domain's best items, more than anybody asks for."""
    num_samples: int
    first: int

    def best(self, depth: int) -> Ints:
        """The same for each."""
        return np.repeat(self.leaders[None, :depth], self.num_samples, axis=0)

    def at(self, items_BP: Ints) -> Floats:
        """[B, P]."""
        return self.scores[items_BP - self.first]


@dataclass(frozen=True)
class GuessedAsked:
    """Nominees of a cheaper score, and the true scores of whatever items are asked for."""

    nominees: SparseAsked
    score: Callable[[Ints], Floats]
    """Items [B, P] -> their scores [B, P]."""

    def best(self, depth: int) -> Ints:
        """More than so many by the cheaper score, for the true one has another order."""
        return self.nominees.best(2 * depth)

    def at(self, items_BP: Ints) -> Floats:
        """[B, P]."""
        return self.score(items_BP)


def answer_of(scorer: Scorer, samples: Samples, domain: int, ids: range) -> Nomination:
    """A scorer's answer; of one that is no `Nominator`, from the scores of all items."""
    if isinstance(scorer, Nominator):
        return scorer.ask(samples, domain)
    return RowsAsked(scorer.score(samples, domain), np.arange(ids.start, ids.stop))


def best_of_rows(scores_BC: Sparse, values: Floats, depth: int, *, first: int) -> Ints:
    """[B, depth] the items of the largest `values` of each sparse row, those above 0; equal ones by the lower id."""
    best_BK = np.full((scores_BC.shape[0], depth), NO_ITEM, dtype=np.int64)
    starts = scores_BC.indptr
    for row in range(scores_BC.shape[0]):
        told, columns = values[starts[row] : starts[row + 1]], scores_BC.indices[starts[row] : starts[row + 1]]
        if len(told) > depth:
            kept = told >= np.partition(told, len(told) - depth)[len(told) - depth]
            told, columns = told[kept], columns[kept]
        above = told > 0
        told, columns = told[above], columns[above]
        order = np.lexsort((columns, -told))[:depth]
        best_BK[row, : len(order)] = columns[order].astype(np.int64) + first
    return best_BK


def sampled(scores_BC: Sparse, columns_BP: Ints) -> Floats:
    """[B, P] a sparse matrix's values at some columns of each row, 0 where it has none.

    Args:
        scores_BC: in any order, no column twice in a row.
    """
    at_BP = np.empty(columns_BP.shape, dtype=np.float32)
    row_C = np.zeros(scores_BC.shape[1], dtype=np.float32)
    starts = scores_BC.indptr
    for row, columns_P in enumerate(columns_BP):
        told = slice(starts[row], starts[row + 1])
        row_C[scores_BC.indices[told]] = scores_BC.data[told]
        at_BP[row] = row_C[columns_P]
        row_C[scores_BC.indices[told]] = 0
    return at_BP


def rare_words(queries_NV: Sparse, texts_V: Ints, *, most: int) -> Sparse:
    """Each row's rarest words, as many as are in at most `most` texts together, and at least one.

    Args:
        texts_V: how many texts each word is in.
    """
    row = rows_of(np.diff(queries_NV.indptr))
    order = np.lexsort((queries_NV.indices, texts_V[queries_NV.indices], row))
    row, word, weight = row[order], queries_NV.indices[order], queries_NV.data[order]
    lengths = np.diff(queries_NV.indptr)
    summed = np.cumsum(texts_V[word])
    before = np.concatenate([[0], summed])[queries_NV.indptr[:-1]]
    kept = (summed - np.repeat(before, lengths) <= most) | (places_of(lengths) == 0)
    return type(queries_NV)((weight[kept], (row[kept], word[kept])), shape=queries_NV.shape)
