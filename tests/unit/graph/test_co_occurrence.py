"""Vectors out of who has what: the truncated SVD, by blocks of users, whatever their number."""

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.utils.extmath import randomized_svd

from evaluation.matrices import Sparse
from graph import co_occurrence
from graph.co_occurrence import co_occurrence_vectors, leading_columns


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


@pytest.mark.parametrize("at_once", [7, 64])
def test_threads_change_no_bit(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    monkeypatch.setattr(co_occurrence, "USERS_AT_ONCE", at_once)
    monkeypatch.setattr(co_occurrence, "ROWS_AT_ONCE", at_once)
    sparse = sp.csr_matrix(bought(150, 200).multiply(np.random.default_rng(1).random((150, 200)) < 0.1))
    said = []
    for threads in (1, 2, 5):
        monkeypatch.setattr(co_occurrence, "num_threads", lambda threads=threads: threads)
        said.append(leading_columns(sparse, 12, seed=0))
    for vectors, values in said[1:]:
        assert vectors.tobytes() == said[0][0].tobytes()
        assert values.tobytes() == said[0][1].tobytes()


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
