"""Distributions for the card: every sample, item and interaction is in one place."""

from collections import Counter
from datetime import UTC, datetime

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from pairs.card.histograms import MAX_POINTS, MonthCounts, describe_histograms, length_bins, rank_curve
from pairs.card.tally import tally
from pairs.tables import SPLITS, Split
from tests.sample_rows import DOMAIN_OF, Row, splits_of, splits_of_rows


@given(st.integers(0, 5000))
def test_bins_of_lengths_cover_every_length_once_and_widen(longest: int) -> None:
    bins = length_bins(longest)
    widths = np.diff(bins)
    assert bins[0] == 0
    assert bins[-1] <= longest
    assert (widths >= 1).all()
    assert (np.diff(widths) >= 0).all()
    assert bins[-1] + max(bins[-1] // 4, 1) > longest


@settings(max_examples=60, deadline=None)
@given(splits_of_rows)
def test_every_sample_is_in_the_bin_of_its_length(rows: dict[Split, list[Row]]) -> None:
    card = describe_histograms(tally([splits_of(rows)], DOMAIN_OF))["history_length"]
    bins = card["bins"]
    for split in SPLITS:
        counts = Counter(max(low for low in bins if low <= len(history)) for _, history, _ in rows[split])
        assert card[split] == [counts[low] for low in bins]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 50), min_size=1, max_size=300))
def test_rank_curve_gives_the_counts_of_the_sorted_items(counts: list[int]) -> None:
    curve = rank_curve(np.array(counts))
    ordered = sorted(counts, reverse=True)
    assert curve["count"] == [ordered[rank - 1] for rank in curve["rank"]]
    assert (curve["rank"][0], curve["rank"][-1]) == (1, len(counts))
    assert curve["rank"] == sorted(set(curve["rank"]))
    assert len(curve["rank"]) <= MAX_POINTS


def test_rank_curve_of_no_items_is_empty() -> None:
    assert rank_curve(np.empty(0, dtype=np.int64)) == {"rank": [], "count": []}


@settings(max_examples=100, deadline=None)
@given(
    events=st.lists(st.tuples(st.integers(0, 2_000_000_000), st.integers(0, 1)), min_size=1, max_size=60),
    pieces=st.integers(1, 5),
)
def test_interactions_are_counted_in_their_month(events: list[tuple[int, int]], pieces: int) -> None:
    month_counts = MonthCounts()
    table = pl.DataFrame(events, schema={"time": pl.Int64, "domain": pl.Int8}, orient="row")
    step = -(-table.height // pieces)
    for begin in range(0, table.height, step):
        month_counts.add(table[begin : begin + step])
    expected = Counter((datetime.fromtimestamp(time, tz=UTC).strftime("%Y-%m"), domain) for time, domain in events)
    months = sorted({month for month, _ in expected})
    assert month_counts.describe() == {
        "months": months,
        "X": [expected[month, 0] for month in months],
        "Y": [expected[month, 1] for month in months],
    }
