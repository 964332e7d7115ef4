"""Vectors of items out of who has them."""

import numpy as np
import scipy.sparse as sp
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # it has no stubs

from evaluation.matrices import Sparse
from graph.words import Floats, unit_rows

POWER_STEPS = 3


def co_occurrence_vectors(bought_UI: Sparse, *, dim: int, seed: int) -> Floats:
    """Items that the same users have are alike [I, dim]: truncated SVD of the users x items matrix with columns divided
    by the root of their sums, each row of length one (or zero); zeros fill up where there are few users.

    What is drawn belongs to users: the order of items changes no vector but in its last bits.
    """
    from sklearn.utils.extmath import randomized_svd  # a second that only those who fit need to wait

    counts_I = np.maximum(np.asarray(bought_UI.sum(axis=0)).ravel(), 1.0)
    scaled_IU = sp.csr_matrix((bought_UI @ sp.diags_array((counts_I**-0.5).astype(np.float32))).T)
    rank = min(dim, min(scaled_IU.shape) - 1)
    vectors_IK = np.zeros((scaled_IU.shape[0], dim), dtype=np.float32)
    if rank >= 1:
        with threadpool_limits(limits=1):  # the number of threads would change the last bits
            left, values, _ = randomized_svd(
                scaled_IU, rank, n_iter=POWER_STEPS, transpose=False, flip_sign=True, random_state=seed
            )
        vectors_IK[:, :rank] = left * np.sqrt(values)
    return unit_rows(vectors_IK)
