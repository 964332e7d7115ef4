"""Item cosine: what the same users bought, counted at once where it fits, else followed to an item's buyers."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from evaluation.candidates.asked import SparseAsked
from evaluation.matrices import Floats, Sparse, dense, recency_matrix, split_columns
from pairs.tables import Items, Samples

MOST_TOGETHER = 64_000_000
"""Pairs of items of one user, over all users, that are counted at once: 8 bytes each at most, and a second to ten."""
ByDomain = tuple[Sparse, Sparse]


@dataclass(frozen=True)
class CoPurchases:
    """What users bought together: their counts or, of very many purchases, what they are counted from."""

    num_buyers: Floats
    """[I], one where there is none."""
    counts: ByDomain | None
    """[I, C] of each domain, `bought_together`; None where that is too much."""
    buyers: Sparse
    """[I, U] ones."""
    bought: ByDomain
    """[U, C] of each domain: what a purchase counts, one or by its age."""

    def of_queries(self, queries_BI: Sparse, domain: int) -> Sparse:
        """[B, C] the queries' sums of counts, no column twice in a row."""
        if self.counts is not None:
            return sp.csr_matrix(queries_BI @ self.counts[domain])
        return sp.csr_matrix(queries_BI @ self.buyers @ self.bought[domain])


def co_purchases(
    bought_UI: Sparse, items: Items, fading_UI: "Sparse | None" = None, buyers_IU: "Sparse | None" = None
) -> CoPurchases:
    """Those of the users' rows; their pairs are counted where they are few enough.

    Args:
        fading_UI: what each purchase counts of what is recommended; None: one.
        buyers_IU: the transpose of `bought_UI`, where it is there.
    """
    num_buyers = np.maximum(np.asarray(bought_UI.sum(axis=0)).ravel(), 1.0)
    buyers_IU = sp.csr_matrix(bought_UI.T) if buyers_IU is None else buyers_IU
    counted_UI = bought_UI if fading_UI is None else fading_UI
    bought = (split_columns(counted_UI, items, 0), split_columns(counted_UI, items, 1))
    counts = bought_together(buyers_IU, bought) if is_counted_at_once(bought_UI) else None
    return CoPurchases(num_buyers, counts, buyers_IU, bought)


def is_counted_at_once(bought_UI: Sparse) -> bool:
    """Not where the pairs are too many: of a million users what is common has a million partners."""
    return bool((np.diff(bought_UI.indptr).astype(np.float64) ** 2).sum() <= MOST_TOGETHER)


def bought_together(buyers_IU: Sparse, bought: ByDomain) -> ByDomain:
    """[I, C] of each domain: by how many users an item was bought with one of the domain, the latter's purchases
    counting as much as `bought` says."""
    first, second = (sp.csr_matrix(buyers_IU @ bought_UC) for bought_UC in bought)
    return first, second


class ItemCosine:
    """Items bought by the same train users: c_ij / (df_i df_j) ** exponent, summed with a recency decay.

    An exponent of 0.5 is the cosine; a lower one favours popular items. Where purchases fade, c_ij sums over the users
    of i what their purchase of j counts: what those who have the same items bought of late.
    """

    def __init__(self, purchases: CoPurchases, items: Items, *, exponent: float, decay: float) -> None:
        self._purchases, self._items, self._decay = purchases, items, decay
        self._weight = (purchases.num_buyers**-exponent).astype(np.float32)

    def score(self, samples: Samples, domain: int) -> Floats:
        return dense(self._sparse(samples, domain))

    def ask(self, samples: Samples, domain: int) -> SparseAsked:
        return SparseAsked(self._sparse(samples, domain), self._items.ids(domain).start)

    def _sparse(self, samples: Samples, domain: int) -> Sparse:
        queries_BI = recency_matrix(samples, self._decay, self._items.num_items)
        weighted_BI = sp.csr_matrix(queries_BI @ sp.diags_array(self._weight))
        scores_BC = self._purchases.of_queries(weighted_BI, domain)
        scores_BC.data *= self._weight[scores_BC.indices + self._items.ids(domain).start]
        return scores_BC
