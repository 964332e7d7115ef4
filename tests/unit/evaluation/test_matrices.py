"""Matrices come back from their arrays as they were, to the order inside a row."""

import numpy as np
import scipy.sparse as sp

from evaluation.matrices import csr_arrays, csr_of


def test_a_matrix_comes_back_with_its_rows_in_the_order_they_had() -> None:
    data, indices = np.array([0.5, 2.0, 1.5], dtype=np.float32), np.array([3, 0, 1])
    matrix = sp.csr_matrix((data, indices, np.array([0, 2, 2, 3])), shape=(3, 4))
    again = csr_of("one", csr_arrays("one", matrix) | csr_arrays("other", matrix * 2))
    assert again.shape == (3, 4)
    assert again.indices.tolist() == [3, 0, 1], "sums of floats depend on it"
    assert np.array_equal(again.toarray(), matrix.toarray())
    empty = sp.csr_matrix(np.zeros((2, 0), dtype=np.float32))
    assert csr_of("none", csr_arrays("none", empty)).shape == (2, 0)
