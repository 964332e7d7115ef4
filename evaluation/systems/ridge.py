"""Ridge regression on items in its dual form, the baseline `ridge`.

Primal: W = argmin |X - X W|^2 + lambda |D^-1/2 W|^2 with D = diag(df^-weight): frequent items are penalised more.
Dual: W = D X' (X D X' + lambda I)^-1 X, one unknown a train user instead of items x items. The system is solved for
a batch of samples at a time by conjugate gradients, so that not even users x users exists: X D X' is never formed.
"""

import numpy as np
import scipy.sparse as sp

from evaluation.candidates.asked import RowsAsked
from evaluation.matrices import Floats, Sparse, recency_matrix
from evaluation.systems.baselines import discount_other, split_columns
from pairs.draws import draw_rows
from pairs.tables import Items, Samples


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
        frequency_I = np.maximum(np.asarray(bought_UI.sum(axis=0)).ravel(), 1.0)
        root_UI = sp.csr_matrix(bought_UI @ sp.diags_array((frequency_I ** (-weight / 2)).astype(np.float32)))
        self._root = root_UI
        self._item_weight = (frequency_I**-weight).astype(np.float32)
        self._bought = bought_UI
        self._by_domain = [sp.csr_matrix(split_columns(bought_UI, items, domain).T) for domain in (0, 1)]
        self._items, self._cross = items, cross
        self._penalty, self._decay, self._tolerance = penalty, decay, tolerance

    def score(self, samples: Samples, domain: int) -> Floats:
        return np.ascontiguousarray((self._by_domain[domain] @ self._dual(samples, domain)).T)

    def ask(self, samples: Samples, domain: int) -> RowsAsked:
        bought_R = np.flatnonzero(np.diff(self._by_domain[domain].indptr))
        scores_BR = np.ascontiguousarray((self._by_domain[domain][bought_R] @ self._dual(samples, domain)).T)
        return RowsAsked(scores_BR, bought_R + self._items.ids(domain).start)

    def _dual(self, samples: Samples, domain: int) -> Floats:
        """[U, B] how much each user counts for each sample."""
        queries_BI = recency_matrix(samples, self._decay, self._items.num_items)
        queries_BI = discount_other(queries_BI, self._items, domain, cross=self._cross)
        weighted_BI = queries_BI @ sp.diags_array(self._item_weight)
        likeness_UB = np.asarray((self._bought @ weighted_BI.T).toarray(), dtype=np.float32)
        return solve_dual(self._root, likeness_UB, penalty=self._penalty, tolerance=self._tolerance)


def solve_dual(root_UI: Sparse, right_UB: Floats, *, penalty: float, tolerance: float, max_steps: int = 200) -> Floats:
    """Solve (R R' + penalty I) Y = right for every column by conjugate gradients.

    Ends when every column's residual is below `tolerance` of its right side's norm. The penalty keeps the
    system well-conditioned: five to twenty steps are usual.
    """
    transposed_IU = sp.csr_matrix(root_UI.T)
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
