"""The card's distributions, small enough to plot: history lengths, item popularity, interactions by month."""

from typing import Any

import numpy as np
import polars as pl

from pairs.card.tally import Tally
from pairs.tables import Ints

LETTERS = ("X", "Y")
MAX_POINTS = 60
Card = dict[str, Any]  # Any: plain JSON values


def describe_histograms(tally: Tally) -> Card:
    """`history_length`: samples of every split by bins of lengths; `item_popularity`: train counts of each domain's
    items at about evenly spaced log ranks."""
    longest = max(len(table.lengths) for table in tally.splits.values()) - 1
    bins = length_bins(longest)
    return {
        "history_length": {
            "bins": bins,
            **{
                split: np.add.reduceat(np.pad(table.lengths, (0, longest + 1 - len(table.lengths))), bins).tolist()
                for split, table in tally.splits.items()
            },
        },
        "item_popularity": {
            letter: rank_curve(tally.train_count[tally.domain_of == d]) for d, letter in enumerate(LETTERS)
        },
    }


def length_bins(longest: int) -> list[int]:
    """Lower ends of bins of lengths up to `longest`: single lengths first, then ever wider."""
    bins, low = [0], 1
    while low <= longest:
        bins.append(low)
        low += max(low // 4, 1)
    return bins


def rank_curve(counts: Ints) -> Card:
    """Ranks from 1, about evenly spaced on a log scale, and the counts of the items at these ranks."""
    if not len(counts):
        return {"rank": [], "count": []}
    ranks = np.unique(np.geomspace(1, len(counts), MAX_POINTS).round().astype(np.int64))
    return {"rank": ranks.tolist(), "count": np.sort(counts)[::-1][ranks - 1].tolist()}


class MonthCounts:
    """Interactions of each domain by calendar month (UTC), added up frame by frame."""

    def __init__(self) -> None:
        self._parts: list[pl.DataFrame] = []

    def add(self, events: pl.DataFrame) -> None:
        """Interactions: time (seconds), domain."""
        month = pl.from_epoch("time").dt.strftime("%Y-%m")
        day = events.group_by(pl.col("time") // 86_400 * 86_400, "domain").len()  # dates are formatted once a day
        self._parts.append(day.group_by(month.alias("month"), "domain").agg(pl.col("len").sum()))

    def describe(self) -> Card:
        """The card's entry."""
        total = pl.concat(self._parts).group_by("month", "domain").agg(pl.col("len").sum())
        months = total["month"].unique().sort().to_list()
        counts = {(month, domain): number for month, domain, number in total.iter_rows()}
        return {
            "months": months,
            **{letter: [counts.get((month, d), 0) for month in months] for d, letter in enumerate(LETTERS)},
        }
