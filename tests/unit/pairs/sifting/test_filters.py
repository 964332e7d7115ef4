"""Filters against a slow, obvious reference, on generated interactions; what they keep is numbered without gaps."""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from launch.errors import InputError
from pairs.config import BYTES_PER_INTERACTION, PairConfig
from pairs.sifting import sorted_runs
from pairs.sifting.catalogue import Catalogue
from pairs.sifting.filters import drop_repeats
from pairs.sifting.number import Numbered
from pairs.sifting.read_pair import RawPair
from pairs.sifting.sift import keep_interactions
from tests.raw_pairs import UNTITLED, Event, raw_pair

Row = tuple[int, int, int]  # user, item (code), time
GIB_OF_A_ROW = BYTES_PER_INTERACTION / 2**30

rows_lists = st.lists(st.tuples(st.integers(0, 7), st.integers(0, 11), st.integers(1, 30)), max_size=90)


def frame(rows: list[Row]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema={"user": pl.UInt32, "item": pl.Int32, "time": pl.Int64}, orient="row")


def config(**changes: Any) -> PairConfig:
    return PairConfig(source="amazon", path="d", **changes)


def kept_rows(numbered: Numbered, items: pl.DataFrame) -> list[Event]:
    """The interactions that are kept, by names."""
    users = dict(pl.concat(list(numbered.users())).rows())
    ids = items["source_id"].to_list()
    events = pl.concat(list(numbered.events()))
    return [(domain, users[user], ids[item], time) for user, item, domain, time in events.rows()]


@pytest.mark.parametrize(("keep", "pick"), [("first", min), ("last", max)])
@settings(max_examples=60, deadline=None)
@given(rows_lists)
def test_repeats_keep_the_earliest_or_the_latest(
    keep: Literal["first", "last"], pick: Callable[..., int], rows: list[Row]
) -> None:
    chosen: dict[tuple[int, int], int] = {}
    for user, item, time in rows:
        chosen[user, item] = pick(time, chosen.get((user, item), time))
    assert drop_repeats(frame(rows), keep).rows() == sorted((*key, time) for key, time in chosen.items())


@settings(max_examples=60, deadline=None)
@given(rows_lists)
def test_all_repeats_may_be_kept_but_one_time_counts_once(rows: list[Row]) -> None:
    assert drop_repeats(frame(rows), "all").rows() == sorted(set(rows))


def test_same_source_id_in_both_domains_is_two_items(tmp_path: Path) -> None:
    raw = raw_pair(tmp_path, [(0, "u", "i", 1), (1, "u", "i", 2)])
    numbered, items, _ = keep_interactions(raw, config(), scratch=tmp_path)
    assert items.select("item", "domain", "source_id").rows() == [(0, 0, "i"), (1, 1, "i")]
    assert pl.concat(list(numbered.events())).rows() == [(0, 0, 0, 1), (0, 1, 1, 2)]


def test_items_are_numbered_x_first_in_source_order(tmp_path: Path) -> None:
    raw = raw_pair(tmp_path, [(1, "b", "i1", 5), (0, "b", "i9", 3), (0, "a", "i2", 4), (1, "a", "i1", 4)])
    rows = [[("i9", "nine", "", False), ("i2", "two", "w", False)]]
    rows.append([("i1", "one", "", False), ("i7", "never bought", "", False)])
    catalogues = []
    for domain in (0, 1):
        catalogue = Catalogue(tmp_path / f"texts-{domain}")
        catalogue.add(pl.DataFrame(rows[domain], schema=["item", "title", "attributes", "cut"], orient="row"))
        catalogues.append(catalogue.choose())
    raw = RawPair(raw.names, raw.runs, (catalogues[0], catalogues[1]), raw.has_ratings, raw.reading)
    numbered, items, _ = keep_interactions(raw, config(), scratch=tmp_path)
    assert items.rows() == [(0, 0, "i2", "two", "w"), (1, 0, "i9", "nine", ""), (2, 1, "i1", "one", "")]
    assert pl.concat(list(numbered.users())).rows() == [(0, "a"), (1, "b")]
    events = pl.concat(list(numbered.events()))
    assert events.columns == ["user", "item", "domain", "time"]
    assert events.rows() == [(0, 0, 0, 4), (0, 2, 1, 4), (1, 1, 0, 3), (1, 2, 1, 5)]


def test_steps_are_counted_for_the_card(tmp_path: Path) -> None:
    events = [(0, "a", "i1", 1), (0, "a", "i1", 9), (1, "a", "i2", 2), (1, "a", UNTITLED, 3), (0, "lone", "i1", 4)]
    numbered, items, steps = keep_interactions(raw_pair(tmp_path, events), config(), scratch=tmp_path)
    assert steps["read"] == {"X": 3, "Y": 2, "users": 2, "users_of_both": 1}
    assert steps["titled_items"] == {"X": 1, "Y": 1}
    assert steps["without_repeats"]["X"] == 2
    assert steps["with_title"]["Y"] == 1
    assert steps["kept"] == {"X": 1, "Y": 1, "users": 1, "users_of_both": 1}
    assert list(steps) == ["read", "titled_items", "without_repeats", "with_title", "kept"]
    assert kept_rows(numbered, items) == [(0, "a", "i1", 1), (1, "a", "i2", 2)]


def test_pair_without_common_users_is_refused(tmp_path: Path) -> None:
    raw = raw_pair(tmp_path, [(0, "a", "i1", 1), (1, "b", "i2", 2)])
    with pytest.raises(InputError, match=r"no user has 1 interactions in each of Art and Books .*\(an empty domain\)"):
        keep_interactions(raw, config(), scratch=tmp_path)


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
def test_floor_of_ratings_and_window_of_time(tmp_path: Path, changes: dict[str, Any], kept: list[str]) -> None:
    events = [(0, "u", "a1", 1), (0, "u", "a2", 2), (1, "u", "b1", 3), (1, "u", "b2", 4)]
    raw = raw_pair(tmp_path, events, ratings=[5.0, None, 3.0, 2.0])
    numbered, items, steps = keep_interactions(raw, config(**changes), scratch=tmp_path)
    assert sorted(item for _, _, item, _ in kept_rows(numbered, items)) == kept
    assert steps["kept"]["X"] + steps["kept"]["Y"] == len(kept)


def test_floor_without_any_rating_is_refused(tmp_path: Path) -> None:
    raw = raw_pair(tmp_path, [(0, "a", "i", 1), (1, "a", "j", 2)])
    with pytest.raises(InputError, match=r"pair\.min_rating=4 is given, but no file has ratings"):
        keep_interactions(raw, config(min_rating=4), scratch=tmp_path)


def test_users_of_one_domain_may_stay_and_are_counted(tmp_path: Path) -> None:
    raw = raw_pair(tmp_path, [(0, "a", "i1", 1), (1, "a", "i2", 2), (0, "lone", "i1", 4)])
    _, _, steps = keep_interactions(raw, config(users="either"), scratch=tmp_path)
    assert steps["kept"] == {"X": 2, "Y": 1, "users": 2, "users_of_both": 1}


def test_item_without_title_may_stay_under_its_id(tmp_path: Path) -> None:
    raw = raw_pair(tmp_path, [(0, "a", UNTITLED, 1), (1, "a", "i2", 2)])
    _, items, _ = keep_interactions(raw, config(require_title=False), scratch=tmp_path)
    assert items["title"].to_list() == [UNTITLED, "i2"]


def slow_steps(events: list[Event], config: PairConfig) -> tuple[set[Event], dict[str, dict[str, int]]]:
    """What is kept and what was there after each step, by filtering a list."""

    def count(rows: set[Event] | list[Event]) -> dict[str, int]:
        users = [{user for domain, user, *_ in rows if domain == d} for d in (0, 1)]
        sizes = [sum(row[0] == d for row in rows) for d in (0, 1)]
        both = len(users[0] & users[1])
        return {"X": sizes[0], "Y": sizes[1], "users": len(users[0] | users[1]), "users_of_both": both}

    distinct = {
        (domain, user, item, min(t for d, u, i, t in events if (d, u, i) == (domain, user, item)))
        for domain, user, item, _ in events
    }
    titled = {event for event in distinct if event[2] != UNTITLED}
    core = titled
    while True:
        kept = {
            (domain, user, item, time)
            for domain, user, item, time in core
            if sum(row[:1] + row[2:3] == (domain, item) for row in core) >= config.k_core
            and all(sum(row[:2] == (d, user) for row in core) >= config.k_core for d in (0, 1))
        }
        if kept == core:
            break
        core = kept
    steps = {"read": count(events), "without_repeats": count(distinct), "with_title": count(titled)}
    return core, {**steps, "kept": count(core)}


raw_events = st.lists(
    st.tuples(
        st.integers(0, 1),
        st.sampled_from(["", "a", "a ", "ä", "b", "zz" * 40, "\U0001f600", "c"]),
        st.sampled_from(["i1", "i2", "i3", UNTITLED]),
        st.integers(1, 30),
    ),
    max_size=60,
)


@settings(max_examples=40, deadline=None)
@given(events=raw_events, k_core=st.integers(1, 2), run_rows=st.integers(1, 9), band_rows=st.integers(1, 30))
def test_any_runs_and_bands_keep_what_a_list_keeps(
    events: list[Event], k_core: int, run_rows: int, band_rows: int
) -> None:
    settings_ = config(k_core=k_core, memory_gib=band_rows * 1.001 * GIB_OF_A_ROW)
    assert settings_.band_rows == band_rows
    expected, expected_steps = slow_steps(events, settings_)
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sorted_runs, "SAMPLE_EVERY", 2)
        raw = raw_pair(Path(folder), events, run_rows=run_rows)
        if not expected:
            with pytest.raises(InputError, match="no user has"):
                keep_interactions(raw, settings_, scratch=Path(folder))
            return
        numbered, items, steps = keep_interactions(raw, settings_, scratch=Path(folder))
        rows = pl.concat(list(numbered.events()))
        assert rows.equals(rows.sort("user", "time", "item"))
        assert sorted(kept_rows(numbered, items)) == sorted(expected)
        assert {name: steps[name] for name in expected_steps} == expected_steps
        users = pl.concat(list(numbered.users()))
        assert users.rows() == list(enumerate(sorted({user for _, user, _, _ in expected})))
        ids = sorted({(domain, item) for domain, _, item, _ in expected})
        assert sorted(items.select("domain", "source_id").rows()) == ids
        assert items["domain"].is_sorted()
