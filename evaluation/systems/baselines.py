"""Baselines that every report carries: popularity, Markov-1, text. Item cosine and ridge have files of their own.

Each scores a few samples against one domain's items: dense rows for a batch, never users x items whole.
"""

from functools import partial

import numpy as np
import scipy.sparse as sp

from evaluation.candidates.asked import EqualAsked, GuessedAsked, SparseAsked, rare_words
from evaluation.candidates.leaders import LeadersAsked
from evaluation.candidates.words import likeness_at, squares_at
from evaluation.matrices import Floats, Sparse, dense, recency_matrix, split_columns
from evaluation.sales import Sales, best_sellers, moments
from pairs.tables import Ints, Items, Samples

ITEMS_AT_ONCE = 512
MOST_LEADERS = 5_000
"""Best-selling items that may be nominated; more than anybody asks for."""
QUERY_POSTINGS, ITEM_POSTINGS = 20_000, 4_000
"""Texts that a query's, or an item's, rarest words are looked up in for nominees."""


class Popularity:
    """How often an item occurs in train."""

    def __init__(self, items: Items) -> None:
        self._items = items

    def score(self, samples: Samples, domain: int) -> Floats:
        ids = self._items.ids(domain)
        counts_C = self._items.train_count[ids.start : ids.stop].astype(np.float32)
        return np.repeat(counts_C[None, :], len(samples), axis=0)

    def ask(self, samples: Samples, domain: int) -> EqualAsked:
        ids = self._items.ids(domain)
        counts_C = self._items.train_count[ids.start : ids.stop].astype(np.float32)
        return EqualAsked(counts_C, best_sellers(counts_C, MOST_LEADERS) + ids.start, len(samples), ids.start)


class Recent:
    """Popularity that fades: a purchase counts 1/2 ** (age / half-life) as of the moment of the question."""

    def __init__(self, sales: Sales, items: Items, *, half_lives: tuple[float, float]) -> None:
        self._sales, self._items, self._half_lives = sales, items, half_lives

    def score(self, samples: Samples, domain: int) -> Floats:
        at_B = moments(samples, self._sales)
        return self._sales.fading_counts(at_B, self._items.ids(domain), self._half_lives[domain])

    def ask(self, samples: Samples, domain: int) -> LeadersAsked:
        at_B = moments(samples, self._sales)
        return LeadersAsked(self._sales, at_B, self._items.ids(domain), self._half_lives[domain])


class Markov:
    """What train users chose next after an item, summed over the history with a recency decay."""

    SMOOTHING = 1e-4
    """Weight of the share of popularity that orders items without a transition."""

    def __init__(self, transitions_II: Sparse, items: Items, *, decay: float) -> None:
        self._by_domain = [split_columns(transitions_II, items, domain) for domain in (0, 1)]
        self._popularity = self.SMOOTHING * items.train_count / max(1, int(items.train_count.sum()))
        self._items = items
        self._decay = decay

    def score(self, samples: Samples, domain: int) -> Floats:
        ids = self._items.ids(domain)
        queries_BI = recency_matrix(samples, self._decay, self._items.num_items)
        scores_BC = dense(queries_BI @ self._by_domain[domain])
        return scores_BC + self._popularity[ids.start : ids.stop].astype(np.float32)

    def ask(self, samples: Samples, domain: int) -> SparseAsked:
        ids = self._items.ids(domain)
        queries_BI = recency_matrix(samples, self._decay, self._items.num_items)
        floor_C = self._popularity[ids.start : ids.stop].astype(np.float32)
        return SparseAsked(sp.csr_matrix(queries_BI @ self._by_domain[domain]), ids.start, floor_C)


class Text:
    """TF-IDF likeness of an item's title and attributes to those of the history, with a recency decay."""

    def __init__(self, vectors_IV: Sparse, items: Items, *, decay: float) -> None:
        self._vectors = vectors_IV
        self.is_blank = bool(vectors_IV.getnnz(axis=0).max(initial=0) <= 1)
        """No two items share a word: all scores are 0, but for an item's own."""
        self._by_domain = [
            sp.csr_matrix(vectors_IV[items.ids(domain).start : items.ids(domain).stop].T) for domain in (0, 1)
        ]
        self._items = items
        self._decay = decay

    def score(self, samples: Samples, domain: int) -> Floats:
        return dense(self._words(samples) @ self._by_domain[domain])

    def ask(self, samples: Samples, domain: int) -> GuessedAsked:
        words_BV, by_domain = self._words(samples), self._by_domain[domain]
        telling_BV = rare_words(words_BV, np.diff(by_domain.indptr), most=QUERY_POSTINGS)
        nominees = SparseAsked(sp.csr_matrix(telling_BV @ by_domain), self._items.ids(domain).start)
        return GuessedAsked(nominees, partial(likeness_at, words_BV, self._vectors))

    def _words(self, samples: Samples) -> Sparse:
        return sp.csr_matrix(recency_matrix(samples, self._decay, self._items.num_items) @ self._vectors)


class TextSquares:
    """Every history item votes by itself: its TF-IDF likeness squared, with a recency decay; the other domain's items
    count `cross` times as much."""

    def __init__(self, vectors_IV: Sparse, items: Items, *, decay: float, cross: float) -> None:
        self._vectors, self._items = vectors_IV, items
        self.is_blank = bool(vectors_IV.getnnz(axis=0).max(initial=0) <= 1)
        self._by_domain = [
            sp.csr_matrix(vectors_IV[items.ids(domain).start : items.ids(domain).stop].T) for domain in (0, 1)
        ]
        self._decay, self._cross = decay, cross

    def score(self, samples: Samples, domain: int) -> Floats:
        return self._votes(self._queries(samples, domain), self._by_domain[domain])

    def ask(self, samples: Samples, domain: int) -> GuessedAsked:
        queries_BI, by_domain = self._queries(samples, domain), self._by_domain[domain]
        asked = np.unique(queries_BI.indices)
        telling = rare_words(sp.csr_matrix(self._vectors[asked]), np.diff(by_domain.indptr), most=ITEM_POSTINGS)
        likeness = sp.csr_matrix(telling @ by_domain)
        likeness.data **= 2
        votes_BC = sp.csr_matrix(sp.csr_matrix(queries_BI[:, asked]) @ likeness)
        nominees = SparseAsked(votes_BC, self._items.ids(domain).start)
        return GuessedAsked(nominees, partial(squares_at, queries_BI, self._vectors))

    def _queries(self, samples: Samples, domain: int) -> Sparse:
        queries_BI = recency_matrix(samples, self._decay, self._items.num_items)
        return discount_other(queries_BI, self._items, domain, cross=self._cross)

    def _votes(self, queries_BI: Sparse, words_VC: Sparse) -> Floats:
        asked: Ints = np.unique(queries_BI.indices)
        scores_BC = np.zeros((queries_BI.shape[0], words_VC.shape[1]), dtype=np.float32)
        for start in range(0, len(asked), ITEMS_AT_ONCE):
            some = asked[start : start + ITEMS_AT_ONCE]
            likeness = sp.csr_matrix(self._vectors[some] @ words_VC)
            likeness.data **= 2
            scores_BC += dense(sp.csr_matrix(queries_BI[:, some]) @ likeness)
        return scores_BC


def discount_other(queries_BI: Sparse, items: Items, domain: int, *, cross: float) -> Sparse:
    """Queries in which the items of the other domain count `cross` times as much."""
    if cross == 1.0:
        return queries_BI
    weight_I = np.where(items.domain == domain, 1.0, cross).astype(np.float32)
    return sp.csr_matrix(queries_BI @ sp.diags_array(weight_I))
