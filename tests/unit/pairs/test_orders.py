"""Rows are put in order as `np.lexsort` does it, and each is kept once as `np.unique` does it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pairs import orders
from pairs.orders import distinct_rows, lex_order
from pairs.ragged import Ints

COLUMNS = st.integers(1, 4).flatmap(
    lambda count: st.lists(st.tuples(*[st.integers(-3, 4) for _ in range(count)]), max_size=40)
)


@given(rows=COLUMNS, far=st.booleans())
@settings(deadline=None)
def test_it_is_that_of_a_sort_by_each_key(rows: list[tuple[int, ...]], far: bool) -> None:
    keys = _keys(rows, far=far)
    assert lex_order(*keys).tolist() == np.lexsort(keys[::-1]).tolist()


@given(rows=COLUMNS, far=st.booleans())
@settings(deadline=None)
def test_each_row_once(rows: list[tuple[int, ...]], far: bool) -> None:
    keys = _keys(rows, far=far)
    before = [key.tolist() for key in keys]
    assert np.stack(distinct_rows(*keys)).tolist() == np.unique(np.stack(keys), axis=1).tolist()
    assert [key.tolist() for key in keys] == before


def _keys(rows: list[tuple[int, ...]], *, far: bool) -> tuple[Ints, ...]:
    columns = np.array(rows or [()], dtype=np.int64).T
    return tuple(column * (1 << 40 if far else 1) for column in columns) or (np.zeros(0, np.int64),)


@pytest.mark.parametrize("most", [1 << 63, 64, 1])
def test_however_many_keys_share_a_word(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orders, "MOST_PACKED", most)
    random = np.random.default_rng(3)
    keys = tuple(random.integers(-2, 5, 300) for _ in range(4))
    assert lex_order(*keys).tolist() == np.lexsort(keys[::-1]).tolist()
    assert np.stack(distinct_rows(*keys)).tolist() == np.unique(np.stack(keys), axis=1).tolist()


def test_numbers_as_far_apart_as_words_can_tell() -> None:
    ends = np.array([np.iinfo(np.int64).max, np.iinfo(np.int64).min, 5], dtype=np.int64)
    assert lex_order(ends, ends).tolist() == [1, 2, 0]
    assert lex_order(np.maximum(ends, 0), ends).tolist() == [1, 2, 0]
    half = np.array([(1 << 62) - 1, 0, -(1 << 62), 0], dtype=np.int64)
    for far in (ends, np.maximum(ends, 0), half):
        assert distinct_rows(far)[0].tolist() == sorted(set(far.tolist()))
