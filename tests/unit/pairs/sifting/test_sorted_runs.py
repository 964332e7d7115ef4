"""Runs and bands: whatever the order of the rows, a band holds whole users and every row is in one band."""

from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pairs.sifting import sorted_runs
from pairs.sifting.catalogue import Catalogue
from pairs.sifting.item_codes import ItemCodes, make_codes
from pairs.sifting.sorted_runs import RunWriter, SortedRuns, number_users

Row = tuple[str, str, int, int, float]  # user, item, domain, time, rating
SCHEMA = {"user": pl.String, "item": pl.String, "time": pl.Int64, "rating": pl.Float32}

ids = st.text(max_size=3) | st.sampled_from(["", "a", "a\x00", "é", "\U0001f600", "x" * 300, "x" * 300 + "y"])
rows_lists = st.lists(
    st.tuples(
        ids.filter(lambda text: text.isprintable() or "\x00" in text),
        st.sampled_from(["i", "j", "k", "é"]),
        st.integers(0, 1),
        st.integers(0, 2**40),
        st.sampled_from([1.0, 4.5]),
    ),
    max_size=60,
)


def sorted_of(folder: Path, rows: list[Row], *, piece: int, run_rows: int) -> SortedRuns:
    """The rows, added `piece` at a time, first those of X."""
    writer = RunWriter(folder, run_rows=run_rows)
    for domain in (0, 1):
        mine = [(user, item, time, rating) for user, item, where, time, rating in rows if where == domain]
        for begin in range(0, len(mine), piece):
            writer.add(pl.DataFrame(mine[begin : begin + piece], schema=SCHEMA, orient="row"), domain=domain)
    return writer.close()


def codes_of(folder: Path, runs: SortedRuns) -> ItemCodes:
    empty = [Catalogue(folder / f"catalogue-{domain}").choose() for domain in (0, 1)]
    return make_codes(runs.items, (empty[0], empty[1]))


def bands_of(folder: Path, runs: SortedRuns, band_rows: int) -> list[list[Row]]:
    """The rows of every band, by names."""
    codes = codes_of(folder, runs)
    bands = []
    for band, users in runs.bands(band_rows, codes):
        assert users.to_list() == sorted(set(users.to_list()))
        named = codes.items[band["item"].to_numpy()]
        columns = (users.gather(band["user"]), named["item"], named["domain"], band["time"], band["rating"])
        bands.append(list(zip(*(column.to_list() for column in columns), strict=True)))
    return bands


@settings(max_examples=80, deadline=None)
@given(
    rows=rows_lists,
    piece=st.integers(1, 9),
    run_rows=st.integers(1, 20),
    band_rows=st.integers(1, 40),
    sample_every=st.integers(1, 5),
)
def test_bands_hold_every_row_once_and_whole_users_in_order(
    rows: list[Row], piece: int, run_rows: int, band_rows: int, sample_every: int
) -> None:
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sorted_runs, "SAMPLE_EVERY", sample_every)
        runs = sorted_of(Path(folder), rows, piece=piece, run_rows=run_rows)
        bands = bands_of(Path(folder), runs, band_rows)
    assert sorted(row for band in bands for row in band) == sorted(rows)
    filled = [band for band in bands if band]
    assert all(max(row[0] for row in one) < min(row[0] for row in other) for one, other in pairwise(filled))
    assert runs.num_rows == len(rows)


@settings(max_examples=60, deadline=None)
@given(rows=rows_lists, piece=st.integers(1, 9))
def test_codes_follow_domain_and_id_in_whatever_order_items_were_seen(rows: list[Row], piece: int) -> None:
    with TemporaryDirectory() as folder:
        codes = codes_of(Path(folder), sorted_of(Path(folder), rows, piece=piece, run_rows=7))
    seen = sorted({(domain, item) for _, item, domain, *_ in rows})
    assert codes.items.rows() == seen
    assert codes.num_x == sum(domain == 0 for domain, _ in seen)


def test_bands_are_about_as_large_as_asked_for_whatever_the_skew_of_the_ids(tmp_path: Path) -> None:
    rows: list[Row] = [(f"same beginning {n % 7 * n % 5000:05d}", "i", 0, n, 1.0) for n in range(40_000)]
    runs = sorted_of(tmp_path, rows, piece=1000, run_rows=10_000)
    sizes = [band.height for band, _ in runs.bands(4_000, codes_of(tmp_path, runs))]
    largest_user = max(pl.Series([row[0] for row in rows]).value_counts()["count"])
    assert len(runs.runs) == 4
    assert len(sizes) >= 8
    assert max(sizes) <= 4_000 + 4 * sorted_runs.SAMPLE_EVERY + largest_user


def test_users_own_rows_stay_together_even_where_they_fill_many_bands(tmp_path: Path) -> None:
    rows: list[Row] = [("busy", "i", 0, n, 1.0) for n in range(5_000)] + [("a", "i", 0, 1, 1.0), ("z", "i", 1, 1, 1.0)]
    bands = bands_of(tmp_path, sorted_of(tmp_path, rows, piece=500, run_rows=600), 300)
    busy = [sum(row[0] == "busy" for row in band) for band in bands]
    assert max(busy) == sum(busy) == 5_000
    assert sum(len(band) for band in bands) == len(rows)


def test_nothing_that_was_added_is_no_band_at_all(tmp_path: Path) -> None:
    runs = RunWriter(tmp_path, run_rows=5).close()
    assert list(runs.bands(5, codes_of(tmp_path, runs))) == []
    assert runs.num_rows == 0


@settings(max_examples=60, deadline=None)
@given(st.lists(ids, max_size=30))
def test_users_are_numbered_in_the_order_of_their_ids(users: list[str]) -> None:
    numbers, distinct = number_users(pl.Series(users, dtype=pl.String))
    expected = sorted(set(users))
    assert distinct.to_list() == expected
    assert numbers.to_list() == [expected.index(user) for user in users]
