"""The core over bands of users: the same part as removing one interaction at a time, however the users are cut."""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pairs.sifting import core
from pairs.sifting.bands import Band, Bands
from pairs.sifting.core import Core, count_core, find_core

Event = tuple[int, int, int]  # user, item, time
NUM_USERS, NUM_ITEMS, NUM_X = 8, 12, 6

event_sets = st.sets(
    st.tuples(st.integers(0, NUM_USERS - 1), st.integers(0, NUM_ITEMS - 1), st.integers(1, 2)), max_size=70
)
borders = st.sets(st.integers(0, NUM_USERS), max_size=4)


def slow_core(events: set[Event], k_core: int, floor: int, users: Callable[[list[bool]], bool] = all) -> set[Event]:
    """Remove one offending event at a time until there is none."""
    while True:
        for event in sorted(events):
            user, item, _ = event
            of_item = sum(e[1] == item for e in events)
            of_user = [sum((e[1] >= NUM_X) == d and e[0] == user for e in events) for d in (0, 1)]
            if of_item < k_core or not users([number >= floor for number in of_user]):
                events = events - {event}
                break
        else:
            return events


def cut_bands(folder: Path, events: set[Event], cuts: set[int]) -> tuple[Bands, list[int]]:
    """The users in bands [0, cut), [cut, next cut), ..., some of which may hold nobody; and the first user of each."""
    bands, first = Bands(folder), []
    for begin, end in zip([0, *sorted(cuts)], [*sorted(cuts), NUM_USERS], strict=True):
        mine = sorted(event for event in events if begin <= event[0] < end)
        user, item, time = (np.array([event[place] for event in mine], dtype=np.int64) for place in range(3))
        band = Band((user - begin).astype(np.uint32), item.astype(np.int32), time)
        bands.add(band, pl.Series([f"u{n}" for n in range(begin, end)], dtype=pl.String))
        first.append(begin)
    return bands, first


def kept(bands: Bands, chosen: Core, first: list[int]) -> set[Event]:
    rows = set()
    for index, band in enumerate(bands):
        inside = band.take(chosen.rows(index, band))
        users = (inside.user + first[index]).tolist()
        rows |= set(zip(users, inside.item.tolist(), inside.time.tolist(), strict=True))
    return rows


@pytest.mark.parametrize(
    ("shrink", "shrunk"), [(False, 1.0), (True, 0.8), (True, 1.0)], ids=["no shrinking", "as shipped", "always"]
)
@pytest.mark.parametrize(("users_of", "enough"), [("both", all), ("either", any)])
@settings(max_examples=40, deadline=None)
@given(events=event_sets, cuts=borders, k=st.integers(1, 3), floor=st.integers(1, 3))
def test_core_equals_removing_one_event_at_a_time(
    users_of: Literal["both", "either"],
    enough: Callable[[list[bool]], bool],
    shrink: bool,
    shrunk: float,
    events: set[Event],
    cuts: set[int],
    k: int,
    floor: int,
) -> None:
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(core, "SHRUNK", shrunk)
        bands, first = cut_bands(Path(folder) / "bands", events, cuts)
        floor = max(k, floor)
        before = [len(band) for band in bands]
        floors = {"k_core": k, "floor": floor}
        largest = find_core(bands, num_items=NUM_ITEMS, num_x=NUM_X, users_of=users_of, shrink=shrink, **floors)
        assert shrink or [len(band) for band in bands] == before
        expected = slow_core(events, k, floor, enough)
        assert kept(bands, largest, first) == expected
        assert set(np.flatnonzero(largest.items).tolist()) == {item for _, item, _ in expected}
        users = {first[n] + user for n, mine in enumerate(largest.users) for user in np.flatnonzero(mine).tolist()}
        assert users == {user for user, _, _ in expected}
        counts = count_core(bands, largest, num_x=NUM_X)
        assert counts["X"] + counts["Y"] == len(expected)
        assert counts["users"] == len(users)


def test_band_that_shrinks_is_written_anew_and_others_are_not(tmp_path: Path) -> None:
    lone = {(0, item, 1) for item in range(NUM_X)}
    both = {(user, item, 1) for user in (4, 5) for item in (0, NUM_X)}
    bands, _ = cut_bands(tmp_path / "bands", lone | both, {4})
    find_core(bands, num_items=NUM_ITEMS, num_x=NUM_X, k_core=1, floor=1)
    assert [len(band) for band in bands] == [0, 4]
