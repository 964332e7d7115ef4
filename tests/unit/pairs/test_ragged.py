"""Ragged arithmetic, draws and history keys against lists and known numbers."""

from itertools import accumulate

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pairs.draws import draw_rows
from pairs.history_keys import history_keys, splitmix64
from pairs.ragged import offsets_of, places_of, rows_of, segments
from pairs.tables import one_sample

lengths_lists = st.lists(st.integers(0, 4), max_size=8)


@given(lengths_lists)
def test_rows_places_and_offsets_are_those_of_lists(lengths: list[int]) -> None:
    cells = [(row, place) for row, length in enumerate(lengths) for place in range(length)]
    assert rows_of(lengths).tolist() == [row for row, _ in cells]
    assert places_of(lengths).tolist() == [place for _, place in cells]
    assert offsets_of(lengths).tolist() == [0, *accumulate(lengths)]
    assert {rows_of(lengths).dtype, places_of(lengths).dtype, offsets_of(lengths).dtype} == {np.dtype(np.int64)}


@given(st.lists(st.tuples(st.integers(0, 90), st.integers(0, 4)), max_size=8))
def test_segments_are_ranges_end_to_end(parts: list[tuple[int, int]]) -> None:
    begins = np.array([begin for begin, _ in parts], dtype=np.int64)
    expected = [cell for begin, length in parts for cell in range(begin, begin + length)]
    assert segments(begins, [length for _, length in parts]).tolist() == expected


def test_splitmix64_is_the_published_one() -> None:
    """The first three numbers of the generator from seed 0."""
    golden = 0x9E3779B97F4A7C15
    states = np.array([0, golden, 2 * golden % 2**64], dtype=np.uint64)
    assert [hex(number) for number in splitmix64(states).tolist()] == [
        "0xe220a8397b1dcdaf",
        "0x6e789e6aa1b965f4",
        "0x6c45d188009454f",
    ]


@pytest.mark.parametrize("other", [[1, 2, 4], [2, 1, 3], [1, 2], [1, 2, 3, 3], []])
def test_another_history_has_another_key(other: list[int]) -> None:
    assert history_keys(one_sample([1, 2, 3])) == history_keys(one_sample([1, 2, 3], domain=1))
    assert history_keys(one_sample([1, 2, 3])) != history_keys(one_sample(other))


def test_places_far_apart_count_in_a_key() -> None:
    """Items that change places 4096 apart."""
    history = list(range(5000))
    changed = [*history]
    changed[0], changed[4096] = changed[4096], changed[0]
    assert history_keys(one_sample(history)) != history_keys(one_sample(changed))


def test_a_draw_is_in_order_whole_and_decided_by_the_seed() -> None:
    assert draw_rows(5, None, seed=1).tolist() == draw_rows(5, 5, seed=1).tolist() == [0, 1, 2, 3, 4]
    few = draw_rows(1000, 20, seed=1).tolist()
    assert few == sorted(set(few)) == draw_rows(1000, 20, seed=1).tolist()
    assert len(few) == 20
    assert few != draw_rows(1000, 20, seed=2).tolist()
    assert draw_rows(10, 3, seed=1).tolist() == sorted(np.random.default_rng(1).choice(10, 3, replace=False).tolist())
