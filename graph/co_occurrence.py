"""Vectors of items out of who has them.

Randomized truncated SVD (Halko, Martinsson and Tropp 2011) of a matrix with a row for every user, a block of users at a
time: what is held is as large as the items' vectors, however many users there are.

I items, U users, K columns.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # it has no stubs

from evaluation.matrices import Sparse
from graph.words import Floats, unit_rows
from launch.processes.threads import num_threads
from launch.watch.beats import beat

POWER_STEPS = 3
OVERSAMPLED = 10
"""Columns that are looked for beyond those asked for."""
USERS_AT_ONCE = 8192
"""Users of a block; of large catalogues more, a quarter of the items, for each block's sums are added to all."""
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
    with ThreadPoolExecutor(num_threads()) as pool:
        for block in _blocks(matrix_UI):
            drawn_BK = drawn.normal(size=(block.shape[0], rank + OVERSAMPLED)).astype(np.float32)
            list(pool.map(partial(_add_transposed, basis_IK, block, drawn_BK), _parts_of(basis_IK)))
        for _ in range(POWER_STEPS):
            basis_IK = _products(matrix_UI, _orthonormal(basis_IK, pool), pool)
        basis_IK = _orthonormal(_orthonormal(basis_IK, pool), pool)  # the second time: what rounding left in the first
    gram_KK = np.zeros((basis_IK.shape[1], basis_IK.shape[1]))
    for block in _blocks(matrix_UI):
        said_BK = block @ basis_IK
        gram_KK += said_BK.T @ said_BK
    squares_K, turn_KK = np.linalg.eigh(gram_KK)
    kept = np.argsort(-squares_K)[:rank]
    vectors_IK = basis_IK @ turn_KK[:, kept].astype(np.float32)
    largest_K = vectors_IK[np.abs(vectors_IK).argmax(axis=0), np.arange(vectors_IK.shape[1])]
    return vectors_IK * np.where(largest_K < 0, -1, 1).astype(np.float32), np.sqrt(np.maximum(squares_K[kept], 0))


def _products(matrix_UI: Sparse, basis_IK: Floats, pool: ThreadPoolExecutor) -> Floats:
    """[I, K] the matrix's transpose times the matrix times a basis."""
    summed_IK = np.zeros_like(basis_IK)

    def add(columns: slice) -> None:
        own_IK = np.ascontiguousarray(basis_IK[:, columns])
        for block in _blocks(matrix_UI):
            _add_transposed(summed_IK[:, columns], block, block @ own_IK)

    list(pool.map(add, _parts_of(basis_IK)))
    return summed_IK


def _parts_of(columns_IK: Floats) -> list[slice]:
    """Columns for every thread: what is summed up of one says nothing of the others, so that any number of threads
    makes the same bits."""
    bounds = np.linspace(0, columns_IK.shape[1], num_threads() + 1).astype(int).tolist()
    return [slice(start, stop) for start, stop in pairwise(bounds)]


def _add_transposed(summed_IK: Floats, block: Sparse, said_BK: Floats, columns: slice = slice(None)) -> None:
    """Add a block's transpose times what was said of its users. They have a small share of a large catalogue: then the
    sums of their items alone are touched."""
    own_BK = np.ascontiguousarray(said_BK[:, columns])
    if block.nnz >= block.shape[1]:
        summed_IK[:, columns] += block.T @ own_BK
        return
    items, places = np.unique(block.indices, return_inverse=True)
    of_items = sp.csr_matrix((block.data, places, block.indptr), shape=(block.shape[0], len(items)))
    summed_IK[items, columns] += of_items.T @ own_BK


def _orthonormal(columns_IK: Floats, pool: ThreadPoolExecutor) -> Floats:
    """Columns of length one, at right angles, that span the same; fewer where some were in the span of others."""

    def gram(part_BK: Floats) -> NDArray[np.float64]:
        exact_BK = part_BK.astype(np.float64)
        return np.asarray(exact_BK.T @ exact_BK)

    parts = [columns_IK[start : start + ROWS_AT_ONCE] for start in range(0, len(columns_IK), ROWS_AT_ONCE)]
    gram_KK: NDArray[np.float64] = sum(pool.map(gram, parts), np.zeros((columns_IK.shape[1],) * 2))
    squares_K, turn_KK = np.linalg.eigh(gram_KK)
    kept_K = squares_K > NOISE * squares_K.max(initial=0)
    turned_KK = (turn_KK[:, kept_K] / np.sqrt(squares_K[kept_K])).astype(np.float32)
    return np.concatenate(list(pool.map(lambda part_BK: part_BK @ turned_KK, parts)))


def _blocks(matrix_UI: Sparse) -> Iterator[Sparse]:
    at_once = max(USERS_AT_ONCE, matrix_UI.shape[1] // 4)
    for start in range(0, matrix_UI.shape[0], at_once):
        beat()
        yield sp.csr_matrix(matrix_UI[start : start + at_once])
