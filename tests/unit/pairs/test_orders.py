"""Rows are put in order as `np.lexsort` does it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pairs import orders
from pairs.orders import lex_order

COLUMNS = st.integers(1, 4).flatmap(
    lambda count: st.lists(st.tuples(*[st.integers(-3, 4) for _ in range(count)]), max_size=40)
)


@given(rows=COLUMNS, far=st.booleans())
@settings(deadline=None)
def test_it_is_that_of_a_sort_by_each_key(rows: list[tuple[int, ...]], far: bool) -> None:
    columns = np.array(rows or [()], dtype=np.int64).T
    keys = tuple(column * (1 << 40 if far else 1) for column in columns) or (np.zeros(0, np.int64),)
    assert lex_order(*keys).tolist() == np.lexsort(keys[::-1]).tolist()


@pytest.mark.parametrize("most", [1 << 63, 64, 1])
def test_however_many_keys_share_a_word(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orders, "MOST_PACKED", most)
    random = np.random.default_rng(3)
    keys = tuple(random.integers(-2, 5, 300) for _ in range(4))
    assert lex_order(*keys).tolist() == np.lexsort(keys[::-1]).tolist()


def test_numbers_as_far_apart_as_words_can_tell() -> None:
    ends = np.array([np.iinfo(np.int64).max, np.iinfo(np.int64).min, 5], dtype=np.int64)
    assert lex_order(ends, ends).tolist() == [1, 2, 0]
    assert lex_order(np.maximum(ends, 0), ends).tolist() == [1, 2, 0]
