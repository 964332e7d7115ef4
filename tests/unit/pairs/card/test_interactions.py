"""What samples show of their users, against dictionaries and sets."""

from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pairs.card.interactions import interactions
from pairs.history_keys import history_keys
from pairs.tables import Samples
from tests.sample_rows import NUM_ITEMS, Row, rows_lists, samples_of


@settings(max_examples=150, deadline=None)
@given(rows_lists)
def test_interactions_are_the_most_that_any_one_sample_of_the_user_shows(rows: list[Row]) -> None:
    expected: dict[tuple[int, int], int] = {}
    for user, history, target in rows:
        for item, count in Counter(item for item, _ in [*history, target]).items():
            expected[user, item] = max(count, expected.get((user, item), 0))
    counted = interactions(samples_of(rows), num_items=NUM_ITEMS)
    columns = (counted.user.tolist(), counted.item.tolist(), counted.count.tolist())
    assert list(zip(*columns, strict=True)) == [(*key, count) for key, count in sorted(expected.items())]


def test_no_samples_show_nothing() -> None:
    counted = interactions(samples_of([]), num_items=NUM_ITEMS)
    assert (len(counted.user), len(counted.item), len(counted.count)) == (0, 0, 0)


@settings(max_examples=100, deadline=None)
@given(rows_lists)
def test_histories_share_a_key_only_if_they_are_the_same_list(rows: list[Row]) -> None:
    keys = history_keys(samples_of(rows)).tolist()
    histories = [tuple(item for item, _ in history) for _, history, _ in rows]
    for one, key in zip(histories, keys, strict=True):
        for other, other_key in zip(histories, keys, strict=True):
            assert (one == other) == (key == other_key)


@settings(max_examples=100, deadline=None)
@given(st.permutations([(n, 1) for n in range(8)]), st.integers(0, 2**31))
def test_order_and_size_of_ids_count(history: list[tuple[int, int]], far: int) -> None:
    plain = [(n, 1) for n in range(8)]
    table = samples_of([(0, plain, (0, 2)), (0, history, (0, 2)), (0, [(n + far, 1) for n, _ in plain], (0, 2))])
    keys = history_keys(table)
    assert (keys[0] == keys[1]) == (history == plain)
    assert (keys[0] == keys[2]) == (far == 0)


def test_keys_of_many_random_histories_do_not_meet() -> None:
    items = np.random.default_rng(0).integers(0, 50, size=(300_000, 6))
    distinct = len(np.unique(items, axis=0))
    table = Samples(
        sample=np.arange(len(items)), user=np.arange(len(items)), domain=np.zeros(len(items), dtype=np.int64),
        target=np.zeros(len(items), dtype=np.int64), history=items.ravel(),
        offsets=np.arange(len(items) + 1) * 6, history_time=None, target_time=None,
    )  # fmt: skip
    assert len(np.unique(history_keys(table))) == distinct
