"""Vectors out of who has what: the truncated SVD, by blocks of users, whatever their number."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from sklearn.utils.extmath import randomized_svd

from evaluation.matrices import Sparse
from graph import co_occurrence
from graph.co_occurrence import co_occurrence_vectors, leading_columns
from graph.words import Floats
from launch.processes.threads import num_threads


def bought(users: int, items: int, *, seed: int = 1, rank: int = 0) -> Sparse:
    """Zeros and ones; of a rank, so many kinds of users."""
    random = np.random.default_rng(seed)
    kinds = (random.random((rank or users, items)) < 0.15).astype(np.float32)
    rows = kinds[np.arange(users) % rank] if rank else kinds
    return sp.csr_matrix(rows)


def test_columns_and_values_are_those_of_a_well_kept_library() -> None:
    matrix = bought(300, 40)
    vectors, values = leading_columns(matrix, 12, seed=0)
    left, expected, _ = randomized_svd(
        sp.csr_matrix(matrix.T), 12, n_iter=co_occurrence.POWER_STEPS, transpose=False, random_state=0
    )
    assert values == pytest.approx(expected, rel=1e-4)
    assert np.allclose(vectors.T @ vectors, np.eye(12), atol=1e-5)
    assert (np.abs(np.einsum("ik,ik->k", vectors, left)) > 0.999).all()
    assert (vectors[np.abs(vectors).argmax(axis=0), np.arange(12)] > 0).all()


@pytest.mark.parametrize("at_once", [7, 64, 10_000])
def test_blocks_of_any_size_say_the_same(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    matrix = bought(150, 30)
    expected = co_occurrence_vectors(matrix, dim=10, seed=0)
    monkeypatch.setattr(co_occurrence, "USERS_AT_ONCE", at_once)
    monkeypatch.setattr(co_occurrence, "ROWS_AT_ONCE", at_once)
    vectors = co_occurrence_vectors(matrix, dim=10, seed=0)
    assert np.allclose(vectors @ vectors.T, expected @ expected.T, atol=1e-4)


def thinned(matrix: Sparse, share: float) -> Sparse:
    """Each entry with so small a chance."""
    kept = sp.csr_matrix(matrix.multiply(np.random.default_rng(1).random(matrix.shape) < share))
    kept.eliminate_zeros()
    return kept


@pytest.mark.parametrize("share", [1.0, 0.01])
def test_threads_change_no_bit(monkeypatch: pytest.MonkeyPatch, share: float) -> None:
    monkeypatch.setattr(co_occurrence, "USERS_AT_ONCE", 8)
    monkeypatch.setattr(co_occurrence, "ROWS_AT_ONCE", 64)
    monkeypatch.setattr(co_occurrence, "COLUMNS_AT_ONCE", 3)
    matrix = thinned(bought(150, 200), share)
    assert (matrix.nnz / 150 * 96 < 200) == (share < 1), "blocks with items for few of the sums, or for all"
    one, two, many = (leading_columns(matrix, 12, seed=0, threads=threads) for threads in (1, 2, 40))
    for vectors, values in (two, many):
        assert vectors.tobytes() == one[0].tobytes()
        assert values.tobytes() == one[1].tobytes()


def test_sums_of_few_items_are_those_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    matrix = thinned(bought(300, 200), 0.1)
    whole = co_occurrence_vectors(matrix, dim=10, seed=0)
    monkeypatch.setattr(co_occurrence, "USERS_AT_ONCE", 8)
    monkeypatch.setattr(co_occurrence, "MOST_USERS", 8)
    assert matrix[:8].nnz < 200 < matrix.nnz
    few = co_occurrence_vectors(matrix, dim=10, seed=0)
    assert np.allclose(few @ few.T, whole @ whole.T, atol=1e-4)


def test_all_threads_of_the_process_work(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[int] = []
    plain = leading_columns

    def seen(matrix: Sparse, rank: int, *, seed: int, threads: int) -> tuple[Floats, Floats]:
        given.append(threads)
        return plain(matrix, rank, seed=seed, threads=threads)

    monkeypatch.setattr(co_occurrence, "leading_columns", seen)
    own = num_threads()
    torch.set_num_threads(3)
    try:
        torch.ones(9) @ torch.ones(9)  # torch has begun: only now do limits of others reach it
        co_occurrence_vectors(bought(60, 30), dim=8, seed=0)
    finally:
        torch.set_num_threads(own)
    assert given == [3]


def test_a_matrix_of_few_kinds_of_users_has_as_many_columns() -> None:
    vectors, values = leading_columns(bought(120, 30, rank=5), 16, seed=0)
    assert vectors.shape == (30, 5)
    assert (values > 0.1).all()
    padded = co_occurrence_vectors(bought(120, 30, rank=5), dim=16, seed=0)
    assert padded.shape == (30, 16)
    assert not padded[:, 5:].any()
    assert np.isfinite(padded).all()


def test_nothing_bought_and_a_single_item() -> None:
    nothing = sp.csr_matrix(np.zeros((20, 6), dtype=np.float32))
    assert not co_occurrence_vectors(nothing, dim=4, seed=0).any()
    assert co_occurrence_vectors(bought(20, 1), dim=4, seed=0).shape == (1, 4)
    lonely = sp.csr_matrix(np.eye(3, 6, dtype=np.float32))
    assert np.isfinite(co_occurrence_vectors(lonely, dim=4, seed=0)).all()


def test_the_order_of_items_changes_last_bits_alone() -> None:
    matrix = bought(200, 25)
    order = np.random.default_rng(2).permutation(25)
    vectors = co_occurrence_vectors(matrix, dim=8, seed=0)
    turned = co_occurrence_vectors(sp.csr_matrix(matrix[:, order]), dim=8, seed=0)
    assert np.allclose(vectors[order] @ vectors[order].T, turned @ turned.T, atol=1e-4)
