"""Filters against a slow, obvious reference, on generated interactions."""

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


def slow_core(events: set[Event], k_core: int, floor: int) -> set[Event]:
    """Remove one offending event at a time until there is none."""
    while True:
        for event in sorted(events):
            domain, user, item, _ = event
            of_item = sum(e[0] == domain and e[2] == item for e in events)
            of_user = [sum(e[0] == d and e[1] == user for e in events) for d in (0, 1)]
            if of_item < k_core or min(of_user) < floor:
                events = events - {event}
                break
        else:
            return events


@settings(max_examples=60, deadline=None)
@given(events_lists, st.integers(1, 3), st.integers(1, 3))
def test_core_equals_removing_one_event_at_a_time(events: list[Event], k_core: int, min_interactions: int) -> None:
    distinct = drop_repeats(frame(events)).select("domain", "user", "item", "time")
    kept = keep_core(distinct, k_core=k_core, min_interactions=min_interactions)
    assert set(kept.rows()) == slow_core(set(distinct.rows()), k_core, max(k_core, min_interactions))


@settings(max_examples=30, deadline=None)
@given(events_lists)
def test_repeats_keep_the_earliest(events: list[Event]) -> None:
    earliest: dict[tuple[int, str, str], int] = {}
    for domain, user, item, time in events:
        earliest[domain, user, item] = min(time, earliest.get((domain, user, item), time))
    found = drop_repeats(frame(events)).select("domain", "user", "item", "time")
    assert set(found.rows()) == {(*key, time) for key, time in earliest.items()}


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
    return RawPair(("Art", "Books"), frame(events), titled.with_columns(title=pl.col("item"), attributes=pl.lit("")))


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
