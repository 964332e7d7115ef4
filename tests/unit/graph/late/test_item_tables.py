"""The tables: bytes near the numbers that they stand for, exact sums, no item's number in them."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from evaluation.matrices import user_item_matrix
from graph.co_occurrence import co_occurrence_vectors
from graph.config import MOST_COLUMNS, TABLES
from graph.late.item_tables import LARGEST, ItemTables, factorise, in_bytes, item_tables
from graph.words import unit_rows
from pairs.tables import Items, Samples, load_pair
from tests.graph_runs import NUM_ITEMS, NUM_X, make_rows, make_samples, write_run
from tests.unit.graph.late.slow import IDS, random_tables, slow_cosine

RANDOM = np.random.default_rng(0)


def floats(num_rows: int, dim: int) -> np.ndarray:
    vectors: np.ndarray = RANDOM.standard_normal((num_rows, dim)).astype(np.float32)
    return vectors


@pytest.fixture
def items(tmp_path: Path) -> Items:
    write_run(tmp_path)
    return load_pair(tmp_path).items


def bought(num_users: int = 40) -> Samples:
    return make_samples(make_rows(np.random.default_rng(5), range(num_users)))


def test_whole_numbers_fill_their_range_and_nothing_stays_nothing() -> None:
    vectors = floats(20, 16)
    vectors[4] = 0
    whole = in_bytes(vectors)
    assert whole.dtype == np.int8
    assert not whole[4].any()
    assert (np.abs(np.delete(whole, 4, axis=0).astype(int)).max(axis=1) == LARGEST).all()
    largest = np.abs(vectors).max(axis=1, keepdims=True)
    assert np.abs(vectors * LARGEST - whole * largest).max() <= 0.51 * largest.max()


@pytest.mark.parametrize("dim", [8, 128, 512])
def test_cosines_of_whole_numbers_are_near_those_of_the_vectors(dim: int) -> None:
    vectors = floats(60, dim)
    tables = ItemTables(torch.from_numpy(np.stack([in_bytes(vectors)] * 3)), torch.zeros(60))
    cosines = tables.cosines(torch.arange(60), range(60), 0).numpy()
    assert np.abs(cosines - unit_rows(vectors) @ unit_rows(vectors).T).max() < 0.01
    assert np.abs(cosines.diagonal() - 1).max() < 1e-6
    assert np.allclose(tables.of(torch.arange(60), 0).numpy(), unit_rows(vectors), atol=0.02)


def test_cosines_are_those_of_loops() -> None:
    tables = random_tables()
    asked = torch.tensor([30, 4, 49])
    for table in range(len(TABLES)):
        cosines = tables.cosines(asked, IDS[1], table).clamp_min(0)
        for row, item in enumerate(asked.tolist()):
            expected = [slow_cosine(tables, item, other, table) for other in IDS[1]]
            assert cosines[row].tolist() == pytest.approx(expected, abs=1e-6)


def test_sums_of_the_longest_vectors_are_exact_in_any_order() -> None:
    assert MOST_COLUMNS * LARGEST**2 < 2**24, "whole numbers up to there are exact in float32"
    signs = np.where(RANDOM.random((2, 64, MOST_COLUMNS)) < 0.1, -1, 1)
    whole = (signs * RANDOM.integers(120, 128, signs.shape)).astype(np.int8)
    exact = whole[0].astype(np.int64) @ whole[1].astype(np.int64).T
    for _ in range(3):
        order = RANDOM.permutation(MOST_COLUMNS)
        one, other = (torch.from_numpy(part[:, order]).float() for part in whole)
        assert np.array_equal((one @ other.T).numpy().astype(np.int64), exact)
        assert np.array_equal((one[:, None] * other[None]).sum(dim=2).numpy().astype(np.int64), exact)


def test_columns_in_another_order_change_no_bit_of_a_cosine() -> None:
    whole = in_bytes(floats(40, MOST_COLUMNS))
    answers = []
    for order in (np.arange(MOST_COLUMNS), RANDOM.permutation(MOST_COLUMNS)):
        tables = ItemTables(torch.from_numpy(np.stack([whole[:, order]] * 3)), torch.zeros(40))
        answers.append(tables.cosines(torch.arange(40), range(40), 0).numpy().tobytes())
    assert answers[0] == answers[1]


def test_factors_are_those_of_both_domains_and_of_each_alone(items: Items) -> None:
    known, dim = bought(), 8
    factors = factorise(known, items, dim=dim)
    assert factors.shape == (2, NUM_ITEMS, dim)
    matrix = user_item_matrix(known, NUM_ITEMS)
    assert np.array_equal(factors[0], in_bytes(co_occurrence_vectors(matrix, dim=dim, seed=0)))
    for part in (range(NUM_X), range(NUM_X, NUM_ITEMS)):
        alone = co_occurrence_vectors(matrix[:, part.start : part.stop], dim=dim, seed=0)
        assert np.array_equal(factors[1, part.start : part.stop], in_bytes(alone))


def test_within_is_told_nothing_of_the_other_domain(items: Items) -> None:
    known = bought()
    factors = factorise(known, items, dim=8)
    drawn = RANDOM.integers(0, NUM_X, len(known.history))
    other = factorise(
        dataclasses.replace(known, history=np.where(known.history < NUM_X, drawn, known.history)), items, dim=8
    )
    assert np.array_equal(factors[1, NUM_X:], other[1, NUM_X:])
    assert not np.array_equal(factors[0, NUM_X:], other[0, NUM_X:])


def test_items_in_another_order_have_the_same_vectors(items: Items) -> None:
    known = bought()
    random = np.random.default_rng(8)
    number_of = np.append(random.permutation(NUM_X), NUM_X + random.permutation(NUM_ITEMS - NUM_X))
    renumbered = dataclasses.replace(known, history=number_of[known.history], target=number_of[known.target])
    one = factorise(known, items, dim=6).astype(int)
    other = factorise(renumbered, items, dim=6)[:, number_of].astype(int)
    for table, part in ((0, slice(None)), (1, slice(NUM_X)), (1, slice(NUM_X, None))):
        expected, vectors = one[table, part], other[table, part]
        signs = np.where((expected * vectors).sum(axis=0) < 0, -1, 1)
        assert np.abs(vectors * signs - expected).max() <= 1


def test_nobody_known_and_one_user_make_tables_without_a_number_that_is_none(items: Items) -> None:
    known = bought()
    words_IK = floats(NUM_ITEMS, 8)
    for few in (known.take(np.zeros(0, dtype=np.int64)), known.take(np.array([0]))):
        tables = item_tables(factorise(few, items, dim=8), words_IK, few)
        cosines = torch.stack([tables.cosines(torch.arange(NUM_ITEMS), range(NUM_ITEMS), t) for t in range(3)])
        assert torch.isfinite(cosines).all()
        assert int(tables.num_users.sum()) == len({*few.history.tolist(), *few.target.tolist()})


def test_a_user_counts_once_for_an_item(items: Items) -> None:
    known = make_samples([(1, [2, 2, 20], 3), (1, [2, 20], 20), (4, [2], 25)])
    tables = item_tables(factorise(known, items, dim=4), floats(NUM_ITEMS, 4), known)
    expected = torch.zeros(NUM_ITEMS)
    expected[[3, 20, 25]] = 1
    expected[2] = 2
    assert torch.equal(tables.num_users, expected)
