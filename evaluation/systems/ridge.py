"""Ridge regression on items, the baseline `ridge`: W = argmin |X - X W|^2 + lambda |D^-1/2 W|^2.

With D = diag(df^-weight) frequent items are penalised more. Where few items have a buyer, W is solved for at once, and
a sample costs as much as its history is long. Elsewhere the dual is solved, one unknown a train user instead of items
x items: W = D X' (X D X' + lambda I)^-1 X, for some samples at a time by conjugate gradients, so that not even users x
users exists: X D X' is never formed.
"""

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.linalg import lapack
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # it has no stubs

from evaluation.candidates.asked import RowsAsked
from evaluation.matrices import Floats, Sparse, recency_matrix
from evaluation.systems.baselines import discount_other
from pairs.draws import draw_rows
from pairs.tables import Items, Samples

DIRECT_ITEMS = 3_000
"""Items with a buyer, up to which W [items, items] is made: a second there, which `recommend` waits for, too."""
SOLVED_AT_ONCE = 64
"""Samples: more fall out of the caches."""


class DirectRidge:
    """Scores q W, where q holds the history with a recency decay and W is there whole."""

    def __init__(self, weights_RR: Floats, bought_R: NDArray[np.int64], items: Items, *, decay: float, cross: float):
        """weights_RR, bought_R: `ridge_weights` and the items that they are of."""
        self._bought = bought_R
        of_domain = [items.domain[bought_R] == domain for domain in (0, 1)]
        self._ids = [bought_R[mask_R] for mask_R in of_domain]
        self._weights = [np.ascontiguousarray(weights_RR[:, mask_R]) for mask_R in of_domain]
        self._items, self._decay, self._cross = items, decay, cross

    def score(self, samples: Samples, domain: int) -> Floats:
        return spread(self._scores(samples, domain), self._ids[domain], self._items.ids(domain))

    def ask(self, samples: Samples, domain: int) -> RowsAsked:
        return RowsAsked(self._scores(samples, domain), self._ids[domain])

    def _scores(self, samples: Samples, domain: int) -> Floats:
        queries_BI = recency_matrix(samples, self._decay, self._items.num_items)
        queries_BI = discount_other(queries_BI, self._items, domain, cross=self._cross)
        return np.asarray(sp.csr_matrix(queries_BI[:, self._bought]) @ self._weights[domain], dtype=np.float32)


class Ridge:
    """Scores q D X' (X D X' + lambda I)^-1 X, where q holds the history with a recency decay."""

    def __init__(
        self,
        bought_UI: Sparse,
        items: Items,
        *,
        penalty: float,
        weight: float,
        decay: float,
        cross: float = 1.0,
        tolerance: float = 1e-4,
    ) -> None:
        self._asked = np.unique(bought_UI.indices).astype(np.int64)  # [R] of a large catalogue few have a buyer here
        bought_UR = sp.csr_matrix(bought_UI[:, self._asked])
        frequency_R = np.asarray(bought_UR.sum(axis=0)).ravel()
        root_UR = sp.csr_matrix(bought_UR @ sp.diags_array((frequency_R ** (-weight / 2)).astype(np.float32)))
        self._root, self._root_transposed = root_UR, sp.csr_matrix(root_UR.T)
        self._item_weight = (frequency_R**-weight).astype(np.float32)
        self._bought = bought_UR
        of_domain = [items.domain[self._asked] == domain for domain in (0, 1)]
        self._ids = [self._asked[mask_R] for mask_R in of_domain]
        self._buyers = [sp.csr_matrix(bought_UR[:, np.flatnonzero(mask_R)].T) for mask_R in of_domain]
        self._items, self._cross = items, cross
        self._penalty, self._decay, self._tolerance = penalty, decay, tolerance

    def score(self, samples: Samples, domain: int) -> Floats:
        return spread(self._scores(samples, domain), self._ids[domain], self._items.ids(domain))

    def ask(self, samples: Samples, domain: int) -> RowsAsked:
        return RowsAsked(self._scores(samples, domain), self._ids[domain])

    def _scores(self, samples: Samples, domain: int) -> Floats:
        """[B, R] of the domain's items that have a buyer."""
        queries_BI = recency_matrix(samples, self._decay, self._items.num_items)
        queries_BI = discount_other(queries_BI, self._items, domain, cross=self._cross)
        weighted_BR = sp.csr_matrix(sp.csr_matrix(queries_BI[:, self._asked]) @ sp.diags_array(self._item_weight))
        scores_BR = np.empty((len(samples), len(self._ids[domain])), dtype=np.float32)
        for start in range(0, len(samples), SOLVED_AT_ONCE):
            some = slice(start, start + SOLVED_AT_ONCE)
            likeness_UB = np.asarray((self._bought @ weighted_BR[some].T).toarray(), dtype=np.float32)
            dual_UB = solve_dual(
                self._root, self._root_transposed, likeness_UB, penalty=self._penalty, tolerance=self._tolerance
            )
            scores_BR[some] = (self._buyers[domain] @ dual_UB).T
        return scores_BR


def spread(scores_BR: Floats, ids_R: NDArray[np.int64], ids: range) -> Floats:
    """[B, C] the scores of some of a domain's items among all of them, whose score is 0."""
    scores_BC = np.zeros((len(scores_BR), len(ids)), dtype=np.float32)
    scores_BC[:, ids_R - ids.start] = scores_BR
    return scores_BC


def ridge_weights(bought_UI: Sparse, *, penalty: float, weight: float) -> Floats:
    """[I, I] W, of items that all have a buyer: (X'X + P)^-1 X'X = 1 - (X'X + P)^-1 P with P = penalty D^-1."""
    frequency_I = np.asarray(bought_UI.sum(axis=0), dtype=np.float64).ravel()
    penalty_I = penalty * frequency_I**weight
    system_II = (bought_UI.T @ bought_UI).toarray().astype(np.float64)
    diagonal = np.diag_indices_from(system_II)
    system_II[diagonal] += penalty_I
    with threadpool_limits(limits=1):  # the number of threads would change the last bits
        root_II, failed = lapack.dpotrf(system_II.T, lower=1, overwrite_a=1)  # .T: in LAPACK's order, nothing is copied
        assert failed == 0, "the penalty keeps the system positive"
        inverse_II, failed = lapack.dpotri(root_II, lower=1, overwrite_c=1)
        assert failed == 0
    inverse_II = np.tril(inverse_II)  # what LAPACK leaves above the diagonal is not of the inverse
    weights_II: NDArray[np.float64] = -(inverse_II + np.tril(inverse_II, -1).T) * penalty_I
    weights_II[diagonal] += 1
    return weights_II.astype(np.float32)


def solve_dual(
    root_UI: Sparse,
    transposed_IU: Sparse,
    right_UB: Floats,
    *,
    penalty: float,
    tolerance: float,
    max_steps: int = 200,
) -> Floats:
    """Solve (R R' + penalty I) Y = right for every column by conjugate gradients.

    Ends when every column's residual is below `tolerance` of its right side's norm. The penalty keeps the
    system well-conditioned: five to twenty steps are usual.
    """
    solution_UB = np.zeros_like(right_UB)
    residual_UB = right_UB.copy()
    direction_UB = residual_UB.copy()
    energy_B = _column_energy(residual_UB)
    goal_B = energy_B * tolerance**2
    for _ in range(max_steps):
        if (energy_B <= goal_B).all():
            break
        image_UB = root_UI @ (transposed_IU @ direction_UB) + np.float32(penalty) * direction_UB
        step_B = energy_B / np.maximum(np.einsum("ub,ub->b", direction_UB, image_UB), 1e-30)
        solution_UB += step_B * direction_UB
        residual_UB -= step_B * image_UB
        next_B = _column_energy(residual_UB)
        direction_UB *= next_B / np.maximum(energy_B, 1e-30)
        direction_UB += residual_UB
        energy_B = next_B
    return solution_UB


def sample_users(bought_UI: Sparse, most: int, seed: int) -> Sparse:
    """All rows, or `most` of them at random, in their order."""
    if bought_UI.shape[0] <= most:
        return bought_UI
    return sp.csr_matrix(bought_UI[draw_rows(bought_UI.shape[0], most, seed=seed)])


def _column_energy(values_UB: Floats) -> Floats:
    return np.asarray(np.einsum("ub,ub->b", values_UB, values_UB), dtype=np.float32)
