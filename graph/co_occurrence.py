"""Vectors of items out of who has them, for catalogues without words to start item tables from."""

import numpy as np
import scipy.sparse as sp

from evaluation.matrices import user_item_matrix
from graph.words import Floats, unit_rows
from pairs.tables import Samples


def co_occurrence_vectors(train: Samples, *, num_items: int, dim: int, seed: int) -> Floats:
    """Items that the same train users have are alike [I, dim]: truncated SVD of the users x items matrix with columns
    divided by the root of their sums, each row of length one (or zero); zeros fill up where there are few users."""
    from sklearn.decomposition import TruncatedSVD  # a second that only those who fit need to wait

    bought_UI = user_item_matrix(train, num_items)
    counts_I = np.maximum(np.asarray(bought_UI.sum(axis=0)).ravel(), 1.0)
    scaled_UI = sp.csr_matrix(bought_UI @ sp.diags_array((counts_I**-0.5).astype(np.float32)))
    rank = min(dim, min(scaled_UI.shape) - 1)
    vectors_IK = np.zeros((num_items, dim), dtype=np.float32)
    if rank >= 1:
        svd = TruncatedSVD(rank, random_state=seed).fit(scaled_UI)
        vectors_IK[:, :rank] = svd.components_.T * np.sqrt(svd.singular_values_)
    return unit_rows(vectors_IK)
