"""Closeness of ids: chance is exact, ids in the order of purchases are found, drawn ones are not."""

from itertools import permutations

import numpy as np
import pytest

from pairs.card.id_closeness import NEAR, IdCloseness, chance_of_close, close_targets
from pairs.tables import Samples


def samples_of(rows: list[tuple[list[int], int]], domain_of: np.ndarray) -> Samples:
    target = np.array([target for _, target in rows])
    return Samples(
        sample=np.arange(len(rows)),
        user=np.arange(len(rows)),
        domain=domain_of[target].astype(np.int64),
        target=target,
        history=np.array([item for history, _ in rows for item in history], dtype=np.int64),
        offsets=np.cumsum([0, *(len(history) for history, _ in rows)]).astype(np.int64),
        history_time=None,
        target_time=None,
    )


@pytest.mark.parametrize("num_items", [1, 2, 4, 6, 7, 8])
@pytest.mark.parametrize("num_others", [0, 1, 2, 4])
def test_chance_is_the_share_of_all_orders(num_items: int, num_others: int) -> None:
    if num_others >= num_items:
        pytest.skip("there are not so many other items")
    orders = list(permutations(range(num_items), num_others + 1))
    close = sum(any(abs(places[0] - other) <= NEAR for other in places[1:]) for places in orders)
    assert chance_of_close(np.array([num_others]), num_items=num_items)[0] == pytest.approx(close / len(orders))


def test_chance_of_a_large_domain_is_that_of_drawn_orders() -> None:
    rng = np.random.default_rng(0)
    places = np.array([rng.permutation(200)[:6] for _ in range(40_000)])
    close = (np.abs(places[:, 1:] - places[:, :1]) <= NEAR).any(axis=1).mean()
    assert chance_of_close(np.array([5]), num_items=200)[0] == pytest.approx(close, abs=0.006)


def test_only_other_items_of_the_targets_domain_count() -> None:
    domain_of = np.repeat(np.array([0, 1], dtype=np.int8), 50)
    rows = [([10], 13), ([10], 14), ([49], 50), ([20, 20], 20), ([90, 3, 60, 60], 62), ([], 7)]
    close, chance = close_targets(samples_of(rows, domain_of), domain_of)
    assert close.tolist() == [True, False, False, False, True, False]
    one, two = chance_of_close(np.array([1, 2]), num_items=50).tolist()
    assert chance.tolist() == pytest.approx([one, one, 0, 0, two, 0])


@pytest.mark.parametrize("drawn", [False, True], ids=["in the order of purchases", "drawn"])
def test_ids_in_the_order_of_purchases_are_found(drawn: bool) -> None:
    """Users buy what belongs together; ids by first appearance put it side by side."""
    rng = np.random.default_rng(1)
    domain_of = np.repeat(np.array([0, 1], dtype=np.int8), 1000)
    ids = np.concatenate([rng.permutation(1000), 1000 + rng.permutation(1000)]) if drawn else np.arange(2000)
    rows = []
    for _ in range(1500):
        theme = int(rng.integers(0, 400)) * 5
        history, target = (theme + rng.permutation(5)[:3]).tolist(), theme + int(rng.integers(0, 5))
        rows.append((ids[history].tolist(), int(ids[target])))
    closeness = IdCloseness(domain_of)
    table = samples_of(rows, domain_of)
    closeness.add("train", table.take(np.arange(700)))
    closeness.add("test", table.take(np.arange(700, 1500)))
    described = closeness.describe()
    assert described["ids_follow_purchases"] is not drawn
    assert described["all"]["by_chance"] == pytest.approx(0.015, abs=0.004)
    assert (described["test"]["targets"] > 0.5) is not drawn
