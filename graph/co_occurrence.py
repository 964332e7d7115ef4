"""Vectors of items out of who has them.

Randomized truncated SVD (Halko, Martinsson and Tropp 2011) of a matrix with a row for every user, a block of users at a
time: what is held is as large as the items' vectors, however many users there are. Threads share columns and rows, and
make the same bits however many they are.

I items, U users, K columns.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

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
"""Users of a block; of large catalogues more, half of the items, for what a block says is added to all sums."""
ROWS_AT_ONCE = 1 << 16
COLUMNS_AT_ONCE = 64
"""That a thread works on: what is made of a column says nothing of the others, so any number of threads makes the same
bits, and what they hold meanwhile is a small share of the vectors."""
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
    for rows in _parts(len(vectors_IK), ROWS_AT_ONCE):
        vectors_IK[rows] = unit_rows(vectors_IK[rows])
    return vectors_IK


def leading_columns(matrix_UI: Sparse, rank: int, *, seed: int, threads: int = 1) -> tuple[Floats, Floats]:
    """The right singular vectors [I, K] of the K largest singular values, and these [K]; K is `rank` or, of a matrix of
    a lower one, less. A vector's largest entry is positive."""
    drawn = np.random.RandomState(seed)
    width = rank + OVERSAMPLED
    basis_IK = np.zeros((matrix_UI.shape[1], width), dtype=np.float32)
    blocks = list(_blocks(matrix_UI))
    with ThreadPoolExecutor(threads) as pool:
        for block in blocks:
            beat()
            _add_transposed(basis_IK, block, _normal(drawn, block.rows.shape[0], width), pool)
        for _ in range(POWER_STEPS):
            basis_IK = _orthonormal(basis_IK, pool)
            _multiply(basis_IK, blocks, pool)
        for _ in range(2):  # the second time: what rounding left in the first
            basis_IK = _orthonormal(basis_IK, pool)
    gram_KK = np.zeros((basis_IK.shape[1], basis_IK.shape[1]))
    for block in blocks:
        beat()
        for users in _parts(block.rows.shape[0], USERS_AT_ONCE):
            said_BK = block.rows[users] @ basis_IK
            gram_KK += said_BK.T @ said_BK
    squares_K, turn_KK = np.linalg.eigh(gram_KK)
    kept = np.argsort(-squares_K)[:rank]
    vectors_IK = _turned(basis_IK, turn_KK[:, kept].astype(np.float32))
    for columns in _parts(vectors_IK.shape[1], COLUMNS_AT_ONCE):
        part_IK = vectors_IK[:, columns]
        largest_K = part_IK[np.abs(part_IK).argmax(axis=0), np.arange(part_IK.shape[1])]
        part_IK *= np.where(largest_K < 0, -1, 1).astype(np.float32)
    return vectors_IK, np.sqrt(np.maximum(squares_K[kept], 0))


@dataclass(frozen=True)
class _Block:
    """Some users."""

    rows: Sparse
    """[B, I]."""
    own: Sparse
    """[B, R] the columns of `items`."""
    items: NDArray[Any] | slice
    """[R] that they have: a small share of a large catalogue, whose sums alone are touched. Else all."""

    def add_transposed(self, summed_IK: Floats, said_BK: Floats) -> None:
        """Add the transpose times what was said of the users."""
        summed_IK[self.items] += self.own.T @ said_BK


def _blocks(matrix_UI: Sparse) -> Iterator[_Block]:
    more = min(MOST_USERS, matrix_UI.shape[1] // 2) // USERS_AT_ONCE * USERS_AT_ONCE
    for users in _parts(matrix_UI.shape[0], max(USERS_AT_ONCE, more)):
        beat()
        rows = sp.csr_matrix(matrix_UI[users])
        if rows.nnz < rows.shape[1]:
            items, places = np.unique(rows.indices, return_inverse=True)
            yield _Block(
                rows, sp.csr_matrix((rows.data, places, rows.indptr), shape=(rows.shape[0], len(items))), items
            )
        else:
            yield _Block(rows, rows, slice(None))


def _normal(drawn: np.random.RandomState, users: int, width: int) -> Floats:
    """[B, K], drawn in 64 bits a part at a time."""
    drawn_BK = np.empty((users, width), dtype=np.float32)
    for part in _parts(users, USERS_AT_ONCE):
        drawn_BK[part] = drawn.normal(size=drawn_BK[part].shape)
    return drawn_BK


def _multiply(basis_IK: Floats, blocks: list[_Block], pool: ThreadPoolExecutor) -> None:
    """The matrix's transpose times the matrix times a basis [I, K], in its place."""

    def multiply(columns: slice) -> None:
        own_IK = np.ascontiguousarray(basis_IK[:, columns])
        summed_IK = np.zeros_like(own_IK)
        for block in blocks:
            block.add_transposed(summed_IK, block.rows @ own_IK)
        basis_IK[:, columns] = summed_IK

    for _ in pool.map(multiply, _parts(basis_IK.shape[1], COLUMNS_AT_ONCE)):
        beat()


def _add_transposed(summed_IK: Floats, block: _Block, said_BK: Floats, pool: ThreadPoolExecutor) -> None:
    def add(columns: slice) -> None:
        block.add_transposed(summed_IK[:, columns], np.ascontiguousarray(said_BK[:, columns]))

    list(pool.map(add, _parts(said_BK.shape[1], COLUMNS_AT_ONCE)))


def _orthonormal(columns_IK: Floats, pool: ThreadPoolExecutor) -> Floats:
    """Columns of length one, at right angles, that span the same, in their place; fewer where some were in the span of
    others."""

    def gram(rows: slice) -> NDArray[np.float64]:
        exact_BK = columns_IK[rows].astype(np.float64)
        return np.asarray(exact_BK.T @ exact_BK)

    parts = _parts(len(columns_IK), ROWS_AT_ONCE)
    gram_KK: NDArray[np.float64] = sum(pool.map(gram, parts), np.zeros((columns_IK.shape[1],) * 2))
    squares_K, turn_KK = np.linalg.eigh(gram_KK)
    kept_K = squares_K > NOISE * squares_K.max(initial=0)
    return _turned(columns_IK, (turn_KK[:, kept_K] / np.sqrt(squares_K[kept_K])).astype(np.float32), pool)


def _turned(columns_IK: Floats, turn_KL: Floats, pool: ThreadPoolExecutor | None = None) -> Floats:
    """[I, L] `columns_IK @ turn_KL`, L at most K, in the place of the columns."""

    def turn(rows: slice) -> None:
        columns_IK[rows, : turn_KL.shape[1]] = columns_IK[rows] @ turn_KL

    parts = _parts(len(columns_IK), ROWS_AT_ONCE)
    list(map(turn, parts) if pool is None else pool.map(turn, parts))
    return np.ascontiguousarray(columns_IK[:, : turn_KL.shape[1]])


def _parts(length: int, at_once: int) -> list[slice]:
    return [slice(start, min(start + at_once, length)) for start in range(0, length, at_once)]
