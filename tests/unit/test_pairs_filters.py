"""Filters against a slow, obvious reference, on generated interactions."""

from collections.abc import Callable
from typing import Any, Literal

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from launch.errors import InputError
from pairs.config import PairConfig
from pairs.filters import drop_repeats, filter_pair, keep_core, number_pair
from pairs.raw_pair import RawPair

Event = tuple[int, str, str, int]  # domain, user, item, time
SCHEMA = {"domain": pl.Int8, "user": pl.String, "item": pl.String, "time": pl.Int64}

events_lists = st.lists(
    st.tuples(
        st.integers(0, 1),
        st.integers(0, 7).map(lambda n: f"u{n}"),
        st.integers(0, 5).map(lambda n: f"i{n}"),
        st.integers(1, 30),
    ),
    max_size=90,
)


def frame(events: list[Event]) -> pl.DataFrame:
    return pl.DataFrame(events, schema=SCHEMA, orient="row")


def slow_core(events: set[Event], k_core: int, floor: int, users: Callable[[list[bool]], bool] = all) -> set[Event]:
    """Remove one offending event at a time until there is none."""
    while True:
        for event in sorted(events):
            domain, user, item, _ = event
            of_item = sum(e[0] == domain and e[2] == item for e in events)
            of_user = [sum(e[0] == d and e[1] == user for e in events) for d in (0, 1)]
            if of_item < k_core or not users([number >= floor for number in of_user]):
                events = events - {event}
                break
        else:
            return events


@pytest.mark.parametrize(("users_of", "enough"), [("both", all), ("either", any)])
@settings(max_examples=60, deadline=None)
@given(events_lists, st.integers(1, 3), st.integers(1, 3))
def test_core_equals_removing_one_event_at_a_time(
    users_of: Literal["both", "either"], enough: Callable[[list[bool]], bool], events: list[Event], k: int, floor: int
) -> None:
    distinct = drop_repeats(frame(events)).select("domain", "user", "item", "time")
    kept = keep_core(distinct, k_core=k, min_interactions=floor, users_of=users_of)
    assert set(kept.rows()) == slow_core(set(distinct.rows()), k, max(k, floor), enough)


@pytest.mark.parametrize(("keep", "of"), [("first", min), ("last", max)])
@settings(max_examples=30, deadline=None)
@given(events_lists)
def test_repeats_keep_the_earliest_or_the_latest(
    keep: Literal["first", "last"], of: Callable[..., int], events: list[Event]
) -> None:
    chosen: dict[tuple[int, str, str], int] = {}
    for domain, user, item, time in events:
        chosen[domain, user, item] = of(time, chosen.get((domain, user, item), time))
    found = drop_repeats(frame(events), keep).select("domain", "user", "item", "time")
    assert sorted(found.rows()) == sorted((*key, time) for key, time in chosen.items())


def test_repeats_may_be_kept_but_one_review_counts_once() -> None:
    events = frame([(0, "a", "i", 1), (0, "a", "i", 2), (0, "a", "i", 2)])
    assert sorted(drop_repeats(events, "all")["time"]) == [1, 2]


def test_items_are_numbered_x_first_in_source_order() -> None:
    events = frame([(1, "b", "i1", 5), (0, "b", "i9", 3), (0, "a", "i2", 4), (1, "a", "i1", 4)])
    catalogue = pl.DataFrame(
        [(0, "i9", "nine", ""), (0, "i2", "two", "w"), (1, "i1", "one", ""), (1, "i7", "never bought", "")],
        schema={"domain": pl.Int8, "item": pl.String, "title": pl.String, "attributes": pl.String},
        orient="row",
    )
    numbered, items, users = number_pair(events, catalogue)
    assert items.select("item", "domain", "source_id", "title").rows() == [
        (0, 0, "i2", "two"),
        (1, 0, "i9", "nine"),
        (2, 1, "i1", "one"),
    ]
    assert users.rows() == [(0, "a"), (1, "b")]
    assert numbered.rows() == [(0, 0, 0, 4), (0, 2, 1, 4), (1, 1, 0, 3), (1, 2, 1, 5)]


def raw_pair(events: list[Event]) -> RawPair:
    titled = frame(events).select("domain", "item").unique().filter(pl.col("item") != "untitled")
    rated = frame(events).with_columns(rating=pl.lit(None, pl.Float32))
    return RawPair(("Art", "Books"), rated, titled.with_columns(title=pl.col("item"), attributes=pl.lit("")))


def test_steps_are_counted_for_the_card() -> None:
    events = [(0, "a", "i1", 1), (0, "a", "i1", 9), (1, "a", "i2", 2), (1, "a", "untitled", 3), (0, "lone", "i1", 4)]
    kept, steps = filter_pair(raw_pair(events), PairConfig(source="amazon", path="d"))
    assert steps["read"] == {"X": 3, "Y": 2, "users": 2, "users_of_both": 1}
    assert steps["titled_items"] == {"X": 1, "Y": 1}
    assert steps["without_repeats"]["X"] == 2
    assert steps["with_title"]["Y"] == 1
    assert steps["kept"] == {"X": 1, "Y": 1, "users": 1, "users_of_both": 1}
    assert set(kept["user"]) == {"a"}


def test_pair_without_common_users_is_refused() -> None:
    with pytest.raises(InputError, match=r"no user has 1 interactions in each of Art and Books .*\(an empty domain\)"):
        filter_pair(raw_pair([(0, "a", "i1", 1), (1, "b", "i2", 2)]), PairConfig(source="amazon", path="d"))


@pytest.mark.parametrize(
    ("changes", "kept"),
    [
        ({}, ["a1", "a2", "b1", "b2"]),
        ({"min_rating": 3}, ["a1", "b1"]),
        ({"time_from": "1970-01-01T00:00:02"}, ["a2", "b1", "b2"]),
        ({"time_to": "1970-01-01T00:00:04"}, ["a1", "a2", "b1"]),
        ({"time_from": "1970-01-01T01:00:02+01:00", "time_to": "1970-01-01T00:00:04"}, ["a2", "b1"]),
    ],
)
def test_floor_of_ratings_and_window_of_time(changes: dict[str, Any], kept: list[str]) -> None:
    raw = raw_pair([(0, "u", "a1", 1), (0, "u", "a2", 2), (1, "u", "b1", 3), (1, "u", "b2", 4)])
    rated = raw.events.with_columns(rating=pl.Series([5.0, None, 3.0, 2.0], dtype=pl.Float32))
    raw = RawPair(raw.names, rated, raw.catalogue)
    events, steps = filter_pair(raw, PairConfig(source="amazon", path="d", **changes))
    assert sorted(events["item"]) == kept
    assert steps["kept"]["X"] + steps["kept"]["Y"] == len(kept)


def test_floor_without_any_rating_is_refused() -> None:
    with pytest.raises(InputError, match=r"pair\.min_rating=4 is given, but no file has ratings"):
        filter_pair(raw_pair([(0, "a", "i", 1), (1, "a", "j", 2)]), PairConfig(source="amazon", path="d", min_rating=4))


def test_users_of_one_domain_may_stay_and_are_counted() -> None:
    raw = raw_pair([(0, "a", "i1", 1), (1, "a", "i2", 2), (0, "lone", "i1", 4)])
    _, steps = filter_pair(raw, PairConfig(source="amazon", path="d", users="either"))
    assert steps["kept"] == {"X": 2, "Y": 1, "users": 2, "users_of_both": 1}


def test_item_without_title_may_stay_under_its_id() -> None:
    raw = raw_pair([(0, "a", "untitled", 1), (1, "a", "i2", 2)])
    events, _ = filter_pair(raw, PairConfig(source="amazon", path="d", require_title=False))
    assert number_pair(events, raw.catalogue)[1]["title"].to_list() == ["untitled", "i2"]
