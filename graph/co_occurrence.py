"""Vectors of items out of who has them.

Randomized truncated SVD (Halko, Martinsson and Tropp 2011) of a matrix with a row for every user, a block of users at a
time: what is held is as large as the items' vectors, however many users there are.

I items, U users, K columns.
"""

from collections.abc import Iterator

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # it has no stubs

from evaluation.matrices import Sparse
from graph.words import Floats, unit_rows
from launch.watch.beats import beat

POWER_STEPS = 3
OVERSAMPLED = 10
"""Columns that are looked for beyond those asked for."""
USERS_AT_ONCE = 8192
ROWS_AT_ONCE = 1 << 16
NOISE = 1e-10
"""Of the largest squared length, below which a direction is what rounding left."""


def co_occurrence_vectors(bought_UI: Sparse, *, dim: int, seed: int) -> Floats:
    """Items that the same users have are alike [I, dim]: truncated SVD of the users x items matrix with columns divided
    by the root of their sums, each row of length one (or zero); zeros fill up where there are few users.

    What is drawn belongs to users: the order of items changes no vector but in its last bits.
    """
    counts_I = np.maximum(np.asarray(bought_UI.sum(axis=0)).ravel(), 1.0)
    scaled_UI = sp.csr_matrix(bought_UI @ sp.diags_array((counts_I**-0.5).astype(np.float32)))
    rank = min(dim, min(scaled_UI.shape) - 1)
    vectors_IK = np.zeros((scaled_UI.shape[1], dim), dtype=np.float32)
    if rank >= 1:
        with threadpool_limits(limits=1):  # the number of threads would change the last bits
            left_IK, values_K = leading_columns(scaled_UI, rank, seed=seed)
        vectors_IK[:, : left_IK.shape[1]] = left_IK * np.sqrt(values_K)
    return unit_rows(vectors_IK)


def leading_columns(matrix_UI: Sparse, rank: int, *, seed: int) -> tuple[Floats, Floats]:
    """The right singular vectors [I, K] of the K largest singular values, and these [K]; K is `rank` or, of a matrix of
    a lower one, less. A vector's largest entry is positive."""
    drawn = np.random.RandomState(seed)
    basis_IK = np.zeros((matrix_UI.shape[1], rank + OVERSAMPLED), dtype=np.float32)
    for block in _blocks(matrix_UI):
        basis_IK += block.T @ drawn.normal(size=(block.shape[0], rank + OVERSAMPLED)).astype(np.float32)
    for _ in range(POWER_STEPS):
        basis_IK = _products(matrix_UI, _orthonormal(basis_IK))
    basis_IK = _orthonormal(_orthonormal(basis_IK))  # the second time removes what rounding left in the first
    gram_KK = np.zeros((basis_IK.shape[1], basis_IK.shape[1]))
    for block in _blocks(matrix_UI):
        said_BK = block @ basis_IK
        gram_KK += said_BK.T @ said_BK
    squares_K, turn_KK = np.linalg.eigh(gram_KK)
    kept = np.argsort(-squares_K)[:rank]
    vectors_IK = basis_IK @ turn_KK[:, kept].astype(np.float32)
    largest_K = vectors_IK[np.abs(vectors_IK).argmax(axis=0), np.arange(vectors_IK.shape[1])]
    return vectors_IK * np.where(largest_K < 0, -1, 1).astype(np.float32), np.sqrt(np.maximum(squares_K[kept], 0))


def _products(matrix_UI: Sparse, basis_IK: Floats) -> Floats:
    """[I, K] the matrix's transpose times the matrix times a basis."""
    summed_IK = np.zeros_like(basis_IK)
    for block in _blocks(matrix_UI):
        summed_IK += block.T @ (block @ basis_IK)
    return summed_IK


def _orthonormal(columns_IK: Floats) -> Floats:
    """Columns of length one, at right angles, that span the same; fewer where some were in the span of others."""
    gram_KK: NDArray[np.float64] = np.zeros((columns_IK.shape[1], columns_IK.shape[1]))
    for start in range(0, len(columns_IK), ROWS_AT_ONCE):
        part = columns_IK[start : start + ROWS_AT_ONCE].astype(np.float64)
        gram_KK += part.T @ part
    squares_K, turn_KK = np.linalg.eigh(gram_KK)
    kept_K = squares_K > NOISE * squares_K.max(initial=0)
    turned = (turn_KK[:, kept_K] / np.sqrt(squares_K[kept_K])).astype(np.float32)
    return np.asarray(columns_IK @ turned)


def _blocks(matrix_UI: Sparse) -> Iterator[Sparse]:
    for start in range(0, matrix_UI.shape[0], USERS_AT_ONCE):
        beat()
        yield sp.csr_matrix(matrix_UI[start : start + USERS_AT_ONCE])
