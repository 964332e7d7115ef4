"""The figures on popularity, on cases that can be counted by hand."""

import numpy as np
import pytest

from pairs.popularity import (
    describe_coverage,
    describe_drift,
    describe_popularity,
    describe_repeats,
    gini,
    js_distance,
)
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


def splits() -> dict[Split, Samples]:
    train = samples([(0, 1, [0, 10, 2]), (1, 1, [0, 0, 11]), (2, 10, [1, 11])])
    return {
        "train": train,
        "valid": samples([(3, 1, [10])]),
        "test": samples([(4, 9, [10]), (4, 19, [10]), (5, 0, [1])]),
    }


def test_targets_are_classed_by_how_often_train_shows_them() -> None:
    card = describe_popularity(splits(), DOMAIN_OF)
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
    card = describe_coverage(splits(), DOMAIN_OF)
    assert card["test"]["X"] == {"items_seen": 0.3, "items_asked": 0.2, "users": 1.0}
    assert card["test"]["Y"] == {"items_seen": 0.2, "items_asked": 0.1, "users": 0.5}
    assert card["valid"]["Y"] == {"items_seen": 0.1, "items_asked": 0.0, "users": 0.0}


def test_repeats_in_a_history_and_of_a_target_are_told_apart() -> None:
    assert describe_repeats(samples([(0, 1, [0, 1, 0, 0]), (1, 2, [3, 4])])) == {"in_history": 0.3333, "targets": 0.5}


def test_drift_of_other_items_is_far_above_chance_and_of_the_same_is_not() -> None:
    rng = np.random.default_rng(1)

    def drawn(low: int, high: int) -> Samples:
        return samples([(user, int(item), [0]) for user, item in enumerate(rng.integers(low, high, size=2000))])

    drift = describe_drift({"train": drawn(0, 5), "valid": drawn(0, 5), "test": drawn(3, 10)}, DOMAIN_OF)
    assert drift["valid"]["X"]["distance"] == pytest.approx(drift["valid"]["X"]["by_chance"], abs=0.05)
    assert drift["test"]["X"]["distance"] > 0.7
    assert drift["test"]["Y"] == {"distance": None, "by_chance": None}


def test_distance_and_gini_have_their_ends() -> None:
    assert js_distance(np.array([1, 0]), np.array([0, 5])) == 1.0
    assert js_distance(np.array([1, 3]), np.array([2, 6])) == 0.0
    assert gini(np.array([4, 4, 4])) == 0.0
    assert gini(np.array([0] * 99 + [7])) == pytest.approx(0.99)
