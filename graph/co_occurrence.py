"""Vectors of items out of who has them.

Randomized truncated SVD (Halko, Martinsson and Tropp 2011) of a matrix with a row for every user, a block of users at a
time: what is held is as large as the items' vectors, however many users there are. Threads share columns and rows, and
make the same bits however many they are.

I items, U users, K columns.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from operator import matmul

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
USERS_AT_ONCE, MOST_USERS = 8192, 1 << 16
"""Users of a block; of large catalogues more, an eighth of the items, for what a block says is added to all sums."""
ROWS_AT_ONCE = 1 << 16
COLUMNS_AT_ONCE = 64
"""Whose largest entries are looked for: absolute values are a copy."""
LEAST_COLUMNS = 64
"""Of a thread: fewer are not worth another pass over a block."""
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
    if rank < 1:
        return np.zeros((scaled_UI.shape[1], dim), dtype=np.float32)
    threads = num_threads()  # asked for before the limit, which is torch's as well
    with threadpool_limits(limits=1):  # how a library shares a product would change the last bits
        left_IK, values_K = leading_columns(scaled_UI, rank, seed=seed, threads=threads)
    np.multiply(left_IK, np.sqrt(values_K), out=left_IK, casting="same_kind")  # in 64 bits, then rounded
    vectors_IK = np.zeros((len(left_IK), dim), dtype=np.float32)
    vectors_IK[:, : left_IK.shape[1]] = left_IK
    del left_IK
    return unit_rows(vectors_IK)


def leading_columns(matrix_UI: Sparse, rank: int, *, seed: int, threads: int = 1) -> tuple[Floats, Floats]:
    """The right singular vectors [I, K] of the K largest singular values, and these [K]; K is `rank` or, of a matrix of
    a lower one, less. A vector's largest entry is positive."""
    drawn = np.random.RandomState(seed)
    width = rank + OVERSAMPLED
    basis_IK = np.zeros((matrix_UI.shape[1], width), dtype=np.float32)
    with ThreadPoolExecutor(threads) as pool:
        for block in _blocks(matrix_UI):
            drawn_BK = drawn.normal(size=(block.shape[0], width)).astype(np.float32)
            _add_transposed(basis_IK, block, drawn_BK, pool, threads)
        for _ in range(POWER_STEPS):
            basis_IK = _orthonormal(basis_IK, pool)  # one after the other: what was before is let go
            basis_IK = _products(matrix_UI, basis_IK, pool, threads)
        for _ in range(2):  # the second time: what rounding left in the first
            basis_IK = _orthonormal(basis_IK, pool)
    gram_KK = np.zeros((basis_IK.shape[1], basis_IK.shape[1]))
    for block in _blocks(matrix_UI):
        said_BK = block @ basis_IK
        for start in range(0, len(said_BK), USERS_AT_ONCE):
            part_BK = said_BK[start : start + USERS_AT_ONCE]
            gram_KK += part_BK.T @ part_BK
    squares_K, turn_KK = np.linalg.eigh(gram_KK)
    kept = np.argsort(-squares_K)[:rank]
    vectors_IK = basis_IK @ turn_KK[:, kept].astype(np.float32)
    del basis_IK
    for start in range(0, vectors_IK.shape[1], COLUMNS_AT_ONCE):
        part_IK = vectors_IK[:, start : start + COLUMNS_AT_ONCE]
        largest_K = part_IK[np.abs(part_IK).argmax(axis=0), np.arange(part_IK.shape[1])]
        part_IK *= np.where(largest_K < 0, -1, 1).astype(np.float32)
    return vectors_IK, np.sqrt(np.maximum(squares_K[kept], 0))


def _products(matrix_UI: Sparse, basis_IK: Floats, pool: ThreadPoolExecutor, threads: int) -> Floats:
    """[I, K] the matrix's transpose times the matrix times a basis."""
    summed_IK = np.zeros_like(basis_IK)
    columns = _parts_of(basis_IK.shape[1], threads)
    own = [np.ascontiguousarray(basis_IK[:, part]) for part in columns] if len(columns) > 1 else [basis_IK]
    for block in _blocks(matrix_UI):
        said_BK = np.concatenate(list(pool.map(partial(matmul, block), own)), axis=1)
        _add_transposed(summed_IK, block, said_BK, pool, threads)
    return summed_IK


def _add_transposed(summed_IK: Floats, block: Sparse, said_BK: Floats, pool: ThreadPoolExecutor, threads: int) -> None:
    """Add a block's transpose times what was said of its users. They have a small share of a large catalogue: then the
    sums of their items alone are touched."""
    items: NDArray[np.int64] | slice = slice(None)
    own = block
    if block.nnz < block.shape[1]:
        items, places = np.unique(block.indices, return_inverse=True)
        own = sp.csr_matrix((block.data, places, block.indptr), shape=(block.shape[0], len(items)))

    def add(columns: slice) -> None:
        summed_IK[items, columns] += own.T @ np.ascontiguousarray(said_BK[:, columns])

    list(pool.map(add, _parts_of(said_BK.shape[1], threads)))


def _parts_of(num_columns: int, threads: int) -> list[slice]:
    """Columns for every thread: what is summed up of one says nothing of the others, so that any number of threads
    makes the same bits."""
    parts = max(1, min(threads, num_columns // LEAST_COLUMNS))
    return [slice(start, stop) for start, stop in pairwise(np.linspace(0, num_columns, parts + 1).astype(int).tolist())]


def _orthonormal(columns_IK: Floats, pool: ThreadPoolExecutor) -> Floats:
    """Columns of length one, at right angles, that span the same; fewer where some were in the span of others."""

    def gram(rows: slice) -> NDArray[np.float64]:
        exact_BK = columns_IK[rows].astype(np.float64)
        return np.asarray(exact_BK.T @ exact_BK)

    parts = [slice(start, start + ROWS_AT_ONCE) for start in range(0, len(columns_IK), ROWS_AT_ONCE)]
    gram_KK: NDArray[np.float64] = sum(pool.map(gram, parts), np.zeros((columns_IK.shape[1],) * 2))
    squares_K, turn_KK = np.linalg.eigh(gram_KK)
    kept_K = squares_K > NOISE * squares_K.max(initial=0)
    turned_KK = (turn_KK[:, kept_K] / np.sqrt(squares_K[kept_K])).astype(np.float32)
    turned_IK = np.empty((len(columns_IK), turned_KK.shape[1]), dtype=np.float32)

    def turn(rows: slice) -> None:
        np.matmul(columns_IK[rows], turned_KK, out=turned_IK[rows])

    list(pool.map(turn, parts))
    return turned_IK


def _blocks(matrix_UI: Sparse) -> Iterator[Sparse]:
    more = min(MOST_USERS, matrix_UI.shape[1] // 8) // USERS_AT_ONCE * USERS_AT_ONCE
    at_once = max(USERS_AT_ONCE, more)
    for start in range(0, matrix_UI.shape[0], at_once):
        beat()
        yield sp.csr_matrix(matrix_UI[start : start + at_once])
