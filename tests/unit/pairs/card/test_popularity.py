"""The figures on popularity, on cases that can be counted by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pairs.card.popularity import (
    describe_coverage,
    describe_drift,
    describe_popularity,
    describe_repeats,
    gini,
    js_distance,
    weighted_median,
)
from pairs.card.tally import SplitTally, Tally, tally
from pairs.tables import Samples, Split

DOMAIN_OF = np.array([0] * 10 + [1] * 10, dtype=np.int8)


def samples(rows: list[tuple[int, int, list[int]]]) -> Samples:
    """Rows of user, target, history."""
    target = np.array([target for _, target, _ in rows])
    return Samples(
        sample=np.arange(len(rows)),
        user=np.array([user for user, _, _ in rows]),
        domain=DOMAIN_OF[target].astype(np.int64),
        target=target,
        history=np.array([item for _, _, history in rows for item in history]),
        offsets=np.cumsum([0, *(len(history) for _, _, history in rows)]).astype(np.int64),
        history_time=None,
        target_time=None,
    )


def tally_of(splits: dict[Split, Samples]) -> Tally:
    return tally([splits], DOMAIN_OF)


def splits() -> dict[Split, Samples]:
    train = samples([(0, 1, [0, 10, 2]), (1, 1, [0, 0, 11]), (2, 10, [1, 11])])
    return {
        "train": train,
        "valid": samples([(3, 1, [10])]),
        "test": samples([(4, 9, [10]), (4, 19, [10]), (5, 0, [1])]),
    }


def test_targets_are_classed_by_how_often_train_shows_them() -> None:
    card = describe_popularity(tally_of(splits()))
    assert card["targets"]["test"]["by_train_count"] == {
        "0": 0.6667,
        "1-2": 0.0,
        "3-9": 0.3333,
        "10-99": 0.0,
        "100+": 0.0,
    }
    assert card["targets"]["valid"]["median_train_count"] == 3
    assert card["targets"]["valid"]["of_most_popular_tenth"]["X"] == 0.0  # item 0 is as popular as item 1, and first
    assert card["items"]["X"]["never_in_train"] == 0.7
    assert card["items"]["X"]["max"] == 3


def test_coverage_tells_what_a_split_shows_and_asks() -> None:
    card = describe_coverage(tally_of(splits()))
    assert card["test"]["X"] == {"items_seen": 0.3, "items_asked": 0.2, "users": 1.0}
    assert card["test"]["Y"] == {"items_seen": 0.2, "items_asked": 0.1, "users": 0.5}
    assert card["valid"]["Y"] == {"items_seen": 0.1, "items_asked": 0.0, "users": 0.0}


def test_repeats_in_a_history_and_of_a_target_are_told_apart() -> None:
    table = SplitTally(DOMAIN_OF)
    table.add(samples([(0, 1, [0, 1, 0, 0]), (1, 2, [3, 4])]))
    assert describe_repeats(table) == {"in_history": 0.3333, "targets": 0.5}


def test_drift_of_other_items_is_far_above_chance_and_of_the_same_is_not() -> None:
    rng = np.random.default_rng(1)

    def drawn(low: int, high: int) -> Samples:
        return samples([(user, int(item), [0]) for user, item in enumerate(rng.integers(low, high, size=2000))])

    drift = describe_drift(tally_of({"train": drawn(0, 5), "valid": drawn(0, 5), "test": drawn(3, 10)}))
    assert drift["valid"]["X"]["distance"] == pytest.approx(drift["valid"]["X"]["by_chance"], abs=0.05)
    assert drift["test"]["X"]["distance"] > 0.7
    assert drift["test"]["Y"] == {"distance": None, "by_chance": None}


def test_distance_and_gini_have_their_ends() -> None:
    assert js_distance(np.array([1, 0]), np.array([0, 5])) == 1.0
    assert js_distance(np.array([1, 3]), np.array([2, 6])) == 0.0
    assert gini(np.array([4, 4, 4])) == 0.0
    assert gini(np.array([0] * 99 + [7])) == pytest.approx(0.99)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 4)), min_size=1, max_size=20))
def test_weighted_median_is_the_median_of_each_value_as_often_as_its_weight_says(counts: list[tuple[int, int]]) -> None:
    values, weights = (np.array(column) for column in zip(*counts, strict=True))
    repeated = np.repeat(values, weights)
    assert weighted_median(values, weights) == (np.median(repeated) if len(repeated) else 0.0)


samples_of_users = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 19), st.lists(st.integers(0, 19), min_size=1, max_size=6)),
    min_size=1,
    max_size=15,
)


@settings(max_examples=40, deadline=None)
@given(train=samples_of_users, asked=samples_of_users)
def test_classes_of_targets_equal_looking_each_target_up(
    train: list[tuple[int, int, list[int]]], asked: list[tuple[int, int, list[int]]]
) -> None:
    tallied = tally_of({"train": samples(train), "valid": samples(asked), "test": samples(asked)})
    card = describe_popularity(tallied)["targets"]["test"]
    counts = [int(tallied.train_count[target]) for _, target, _ in asked]
    lows = {"0": (0, 0), "1-2": (1, 2), "3-9": (3, 9), "10-99": (10, 99), "100+": (100, 10**9)}
    assert card["by_train_count"] == {
        name: round(sum(low <= count <= high for count in counts) / len(counts), 4)
        for name, (low, high) in lows.items()
    }
    assert card["median_train_count"] == float(np.median(counts))
    by_domain = [sum(target // 10 == d for _, target, _ in asked) for d in (0, 1)]
    heads = [max(range(10 * d, 10 * d + 10), key=lambda item: (tallied.train_count[item], -item)) for d in (0, 1)]
    assert card["of_most_popular_tenth"] == {
        letter: round(sum(t == heads[d] for _, t, _ in asked) / max(by_domain[d], 1), 4)
        for d, letter in enumerate("XY")
    }
