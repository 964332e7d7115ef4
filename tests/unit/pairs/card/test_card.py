"""The data card tells a zipped order from a real one, and counts what overlapping samples show once."""

from typing import Any

import numpy as np
import polars as pl
import pytest

from pairs.card.card import make_card
from pairs.card.interactions import interactions
from pairs.card.order import OrderTally
from pairs.card.tally import SplitTally, count_twins, tally
from pairs.tables import Ints, Samples, Split

Row = tuple[int, int, list[int]]  # user, target, history
DOMAIN_OF = np.array([0] * 50 + [1] * 50, dtype=np.int8)
NO_FLAGS: list[Row] = [(0, 1, [0, 50]), (1, 51, [50, 0, 1])]


def samples(rows: list[Row], *, times: bool = False, first: int = 0) -> Samples:
    lengths = [len(history) for _, _, history in rows]
    flat = np.array([item for _, _, history in rows for item in history], dtype=np.int64)
    target = np.array([target for _, target, _ in rows], dtype=np.int64)
    return Samples(
        sample=np.arange(first, first + len(rows)),
        user=np.array([user for user, _, _ in rows]),
        domain=DOMAIN_OF[target].astype(np.int64),
        target=target,
        history=flat,
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        history_time=np.arange(len(flat)) + 10**9 if times else None,
        target_time=np.full(len(rows), 2 * 10**9) if times else None,
    )


def zipped(seed: int, *, shuffle: bool) -> Samples:
    rng = np.random.default_rng(seed)
    rows: list[Row] = []
    for user in range(200):
        x, y = rng.integers(0, 50, size=rng.integers(3, 9)), rng.integers(50, 100, size=rng.integers(3, 9))
        both = min(len(x), len(y))
        history = [item for pair in zip(x[:both], y[:both], strict=True) for item in pair] + [*x[both:], *y[both:]]
        if shuffle:
            history = list(rng.permutation(history))
        rows.append((user, 0, [int(item) for item in history]))
    return samples(rows)


def describe_order(*parts: Samples) -> dict[str, Any]:  # Any: plain JSON values
    order = OrderTally(DOMAIN_OF)
    for part in parts:
        order.add(part)
    return order.describe()


def count_items(table: Samples) -> Ints:
    tallied = SplitTally(DOMAIN_OF)
    tallied.add(table)
    return tallied.item_counts


def test_zipped_histories_without_timestamps_are_called_synthetic() -> None:
    evidence = describe_order(zipped(1, shuffle=False))
    assert evidence["order"] == "synthetic"
    assert evidence["alternation"] > 0.8  # below 1: zipping leaves the longer domain's rest at the end
    assert evidence["fully_alternating_histories"] == 1.0


def test_random_order_is_not_called_synthetic() -> None:
    evidence = describe_order(zipped(1, shuffle=True))
    assert evidence["order"] == "chronological"
    assert evidence["alternation"] == pytest.approx(0, abs=0.05)


def test_alternation_with_timestamps_is_believed() -> None:
    evidence = describe_order(samples([(u, 0, [0, 50, 1, 51, 2, 52]) for u in range(5)], times=True))
    assert evidence["order"] == "chronological"
    assert evidence["alternation"] == 1.0


def test_twins_are_users_with_two_samples_of_one_history() -> None:
    assert count_twins(samples([(0, 1, [2, 60]), (0, 61, [2, 60]), (1, 1, [2, 60]), (1, 61, [2, 60, 3])])) == 1
    assert count_twins(samples([(0, 1, [2, 60]), (1, 61, [2, 60])])) == 0
    assert count_twins(samples([(0, 1, [2, 60]), (0, 61, [60, 2])])) == 0


def test_card_gives_twins_as_a_share_of_users() -> None:
    twins: list[Row] = [(0, 1, [2, 60]), (0, 61, [2, 60]), (1, 1, [2, 60]), (1, 61, [2, 60, 3])]
    card = card_of(twins, [(2, 1, [0]), (2, 70, [0])], [(3, 99, [0])])
    assert card["twins"] == {"train": 0.5, "valid": 1.0, "test": 0.0}
    assert card["twin_users_share"] == 0.5


def test_evidence_of_order_does_not_depend_on_how_histories_are_cut() -> None:
    table = zipped(1, shuffle=False)
    rows = np.arange(len(table))
    assert describe_order(*(table.take(part) for part in np.array_split(rows, 7))) == describe_order(table)


def test_history_of_twins_is_counted_once() -> None:
    counts = count_items(samples([(0, 1, [2, 60]), (0, 61, [2, 60]), (1, 2, [60])]))
    assert {item: int(counts[item]) for item in np.flatnonzero(counts)} == {1: 1, 2: 2, 60: 2, 61: 1}


def test_repeated_item_of_one_history_is_counted_as_often_as_it_occurs() -> None:
    counts = count_items(samples([(0, 2, [2, 60, 2]), (0, 61, [2, 60, 2])]))
    assert counts[2] == 3


def test_nested_histories_count_each_interaction_once() -> None:
    nested = interactions(samples([(0, 2, [1]), (0, 60, [1, 2]), (0, 3, [1, 2, 60])]), num_items=100)
    assert nested.item.tolist() == [1, 2, 3, 60]
    assert nested.count.tolist() == [1, 1, 1, 1]


def card_of(train: list[Row], valid: list[Row], test: list[Row]) -> dict[str, Any]:  # Any: plain JSON values
    splits: dict[Split, Samples] = {"train": samples(train), "valid": samples(valid), "test": samples(test)}
    items = pl.DataFrame({"item": range(100), "domain": DOMAIN_OF.tolist()}).with_columns(
        title=pl.when(pl.col("item") < 3).then(pl.lit("same")).otherwise(pl.col("item").cast(pl.String)),
        attributes=pl.when(pl.col("item") < 5).then(pl.lit("")).otherwise(pl.lit("words")),
    )
    tallied = tally([splits], DOMAIN_OF)
    return make_card(name="p", names=("Art", "Books"), items=items, tally=tallied, facts={"source": "released"})


def test_card_counts_unseen_targets_users_and_titles() -> None:
    card = card_of(NO_FLAGS, [(2, 1, [0]), (2, 70, [0])], [(3, 99, [0]), (3, 1, [50, 99]), (4, 50, [0]), (4, 2, [7])])
    assert card["unseen_targets"] == {
        "valid": {"all": 0.5, "X": 0.0, "Y": 1.0},
        "test": {"all": 0.5, "X": 0.5, "Y": 0.5},
    }
    assert card["users"]["disjoint"] is True
    assert card["duplicate_titles"] == {"X": 2, "Y": 0}
    assert card["without_attributes"] == {"X": 5, "Y": 0}
    assert card["samples"]["test"] == {"all": 4, "X": 2, "Y": 2}
    assert card["interactions"]["train"] == {"all": 7, "X": 4, "Y": 3}


def test_card_tells_users_that_are_in_two_splits() -> None:
    card = card_of(NO_FLAGS, [(0, 1, [0]), (2, 70, [0])], [(3, 99, [0])])
    assert card["users"]["disjoint"] is False


def test_overlap_is_the_share_of_users_with_interactions_in_both_domains() -> None:
    card = card_of(NO_FLAGS, [(2, 1, [0]), (2, 70, [0])], [(3, 99, [60]), (3, 51, [50, 99]), (4, 50, [0])])
    assert card["overlap"] == {"train": 1.0, "valid": 1.0, "test": 0.5}
    assert card["users_of_one_domain"] == {"train": 0, "valid": 0, "test": 1}
