"""Ranked lists: the best items of a row are chosen the same way always and survive a trip through Parquet."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.ranked_lists import NO_ITEM, RankedLists, read_column, read_lists, top_k, write_list_blocks, write_lists
from launch.errors import InputError


def slow_top_k(scores: list[float], k: int, ids: list[int]) -> list[int]:
    allowed = [(-score, item) for score, item in zip(scores, ids, strict=True) if score != -np.inf]
    return [item for _, item in sorted(allowed)][:k]


def example() -> RankedLists:
    return RankedLists(
        np.array([7, 3]),
        np.array([[5, 2, NO_ITEM], [1, 4, 6]]),
        np.array([[0.5, 0.25, -np.inf], [3.0, 2.0, 2.0]], dtype=np.float32),
    )


@settings(deadline=None)
@given(
    st.integers(1, 12).flatmap(
        lambda width: st.lists(
            st.lists(st.sampled_from([-np.inf, 0.0, 1.0, 1.5, 2.0]), min_size=width, max_size=width),
            min_size=1,
            max_size=5,
        )
    ),
    st.integers(1, 15),
)
def test_top_k_equals_sorting_every_row(rows: list[list[float]], k: int) -> None:
    ids = np.arange(len(rows[0])) * 3 + 10
    items, scores = top_k(np.array(rows), k, ids)
    for row, values in enumerate(rows):
        expected = slow_top_k(values, k, ids.tolist())
        assert items[row].tolist() == expected + [NO_ITEM] * (k - len(expected))
        assert np.isinf(scores[row, len(expected) :]).all()


def test_ties_go_to_the_lower_id_whatever_the_batch() -> None:
    scores = np.zeros((3, 50))
    scores[:, 49] = 1.0
    whole, _ = top_k(scores, 4, np.arange(50))
    alone, _ = top_k(scores[:1], 4, np.arange(50))
    assert whole[0].tolist() == [49, 0, 1, 2] == alone[0].tolist()


def test_lists_survive_the_file_ordered_by_sample(tmp_path: Path) -> None:
    write_lists(tmp_path / "a.parquet", example(), {"texts": [["x | y\n", "z"], []]})
    back = read_lists(tmp_path / "a.parquet")
    assert back.sample.tolist() == [3, 7]
    assert back.items.tolist() == [[1, 4, 6], [5, 2, NO_ITEM]]
    assert back.scores.tolist() == [[3.0, 2.0, 2.0], [0.5, 0.25, -np.inf]]
    samples, texts = read_column(tmp_path / "a.parquet", "texts")
    assert samples.tolist() == [3, 7]
    assert texts == [[], ["x | y\n", "z"]]


def test_empty_lists_survive_the_file(tmp_path: Path) -> None:
    none = RankedLists(np.array([4]), np.full((1, 2), NO_ITEM), np.full((1, 2), -np.inf, dtype=np.float32))
    write_lists(tmp_path / "a.parquet", none)
    assert read_lists(tmp_path / "a.parquet").lengths.tolist() == [0]


def test_lists_are_joined_by_sample_id() -> None:
    joined = example().of_samples(np.array([3, 7, 3]))
    assert joined.items[:, 0].tolist() == [1, 5, 1]


def test_a_sample_without_a_list_is_refused_by_name() -> None:
    with pytest.raises(InputError, match=r"graph_test\.parquet: no list for sample 5 \(1 of 2 missing\)"):
        example().of_samples(np.array([3, 5]), source="graph_test.parquet")


def test_a_missing_or_foreign_file_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_lists(tmp_path / "absent.parquet")
    (tmp_path / "bad.parquet").write_bytes(b"not parquet at all")
    with pytest.raises(InputError, match="not a table of lists"):
        read_lists(tmp_path / "bad.parquet")


def test_lists_in_blocks_are_read_as_one_table_and_a_single_block_is_the_same_file(tmp_path: Path) -> None:
    random = np.random.default_rng(2)
    items = np.stack([random.permutation(50)[:6] for _ in range(30)])
    scores = -np.sort(-random.random((30, 6)).astype(np.float32), axis=1)
    items[3, 4:], scores[3, 4:] = NO_ITEM, -np.inf
    lists = RankedLists(np.arange(30) * 2, items, scores)
    write_lists(tmp_path / "whole.parquet", lists)
    write_list_blocks(tmp_path / "one.parquet", iter([lists]))
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "whole.parquet").read_bytes()
    write_list_blocks(tmp_path / "many.parquet", (lists.take(np.arange(at, min(at + 7, 30))) for at in range(0, 30, 7)))
    write_list_blocks(tmp_path / "none.parquet", iter([]))
    read = read_lists(tmp_path / "many.parquet")
    np.testing.assert_array_equal(read.sample, lists.sample)
    np.testing.assert_array_equal(read.items, lists.items)
    np.testing.assert_array_equal(read.scores, lists.scores)
    assert len(read_lists(tmp_path / "none.parquet")) == 0
