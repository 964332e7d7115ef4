"""The plots of the card's histograms: history lengths, item popularity, interactions over time."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from evaluation.report.card_values import day, domain_label, look, present_splits
from evaluation.report.plot_style import (
    DOMAIN_COLORS,
    INK,
    PAPER,
    SPLIT_COLORS,
    Plot,
    add_legend,
    make_plot,
    use_log_thousands,
    use_percent,
    use_thousands,
)

if TYPE_CHECKING:  # matplotlib is loaded when the first plot is drawn
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

Json = Mapping[str, Any]  # Any: plain JSON values
TICK_MONTHS = (1, 2, 3, 6, 12, 24, 36, 60, 120)


def plot_history_lengths(card: Json) -> Plot | None:
    """Shares of each split's samples by the length of their history."""
    histogram = look(card, "histograms.history_length")
    splits = present_splits(histogram)
    if not splits:
        return None
    used = [place for place in range(len(histogram["bins"])) if any(histogram[split][place] for split in splits)]
    if not used:
        return None
    shown = range(used[0], used[-1] + 1)
    labels = [_range_label(histogram["bins"], place) for place in shown]

    def paint(canvas: "Canvas", axes: "Axes") -> None:
        width = 0.84 / len(splits)
        bars = []
        for place, split in enumerate(splits):
            total = max(sum(histogram[split]), 1)
            left = [x - 0.42 + (place + 0.5) * width for x in range(len(shown))]
            shares = [histogram[split][b] / total for b in shown]
            bars.append(axes.bar(left, shares, width=width * 0.92, color=SPLIT_COLORS[split]))
        axes.set_xticks(range(len(shown)), labels)
        axes.tick_params(axis="x", length=0, labelrotation=0 if len(shown) <= 12 else 45)
        axes.set_xlabel("items in the history")
        axes.set_ylabel("share of the split's samples")
        axes.grid(axis="y")
        use_percent(axes.yaxis)
        add_legend(
            canvas, [bar.patches[0] for bar in bars], [f"{split} ({sum(histogram[split]):,})" for split in splits]
        )

    medians = [(split, look(card, f"history_length.{split}.median")) for split in splits]
    alt = ", ".join(f"{split} {median:g}" for split, median in medians if median is not None)
    return make_plot(
        "history_lengths",
        "History lengths by split",
        f"Median length: {alt}" if alt else "Share of samples by length",
        paint,
    )


def plot_item_popularity(card: Json) -> Plot | None:
    """The train count of the item at each rank, both domains."""
    histogram = look(card, "histograms.item_popularity")
    curves = {}
    for letter in DOMAIN_COLORS:
        ranks, counts = look(histogram, f"{letter}.rank"), look(histogram, f"{letter}.count")
        points = [(rank, count) for rank, count in zip(ranks or [], counts or [], strict=True) if count > 0]
        if points:
            curves[letter] = points
    if not curves:
        return None

    def paint(canvas: "Canvas", axes: "Axes") -> None:
        lines = [
            axes.plot(*zip(*points, strict=True), color=DOMAIN_COLORS[letter], marker="o", markersize=2.6)[0]
            for letter, points in curves.items()
        ]
        axes.set_xlabel("rank of the item")
        axes.set_ylabel("interactions in train")
        axes.grid()
        use_log_thousands(axes, "x")
        use_log_thousands(axes, "y")
        add_legend(canvas, lines, [domain_label(card, letter) for letter in curves])

    most = ", ".join(f"{domain_label(card, letter)} {points[0][1]:,}" for letter, points in curves.items())
    return make_plot("item_popularity", "Item popularity", f"Most frequent item, interactions in train: {most}", paint)


def plot_months(card: Json) -> Plot | None:
    """Interactions of each domain by month, with the cuts between train, valid and test."""
    histogram = look(card, "histograms.interactions_by_month")
    if not look(histogram, "months"):
        return None
    numbers = [_month(month) for month in histogram["months"]]
    months = range(min(numbers), max(numbers) + 1)
    counts = {
        letter: dict(zip(numbers, histogram[letter], strict=True)) for letter in DOMAIN_COLORS if letter in histogram
    }
    cuts = look(card, "cuts") or []

    def paint(canvas: "Canvas", axes: "Axes") -> None:
        lines = [
            axes.plot(
                [month + 0.5 for month in months],
                [by_month.get(month, 0) for month in months],
                color=DOMAIN_COLORS[letter],
                marker="o" if len(months) < 24 else None,
                markersize=3,
            )[0]
            for letter, by_month in counts.items()
        ]
        most = max((count for by_month in counts.values() for count in by_month.values()), default=1)
        axes.set_ylim(0, 1.3 * max(most, 1))
        step = next((step for step in TICK_MONTHS if len(months) / step <= 7), TICK_MONTHS[-1])
        ticks = [month for month in months if month % step == 0] or [months[0]]
        axes.set_xticks(ticks, [_month_label(month, whole_years=step % 12 == 0) for month in ticks])
        axes.set_ylabel("interactions in a month")
        axes.grid(axis="y")
        use_thousands(axes.yaxis)
        _mark_cuts(axes, cuts, months)
        add_legend(canvas, lines, [domain_label(card, letter) for letter in counts])

    ends = " and ".join(f"{split} ends {day(cut)}" for split, cut in zip(("train", "valid"), cuts, strict=False))
    span = f"From {histogram['months'][0]} to {histogram['months'][-1]}"
    return make_plot("interactions_by_month", "Interactions over time", f"{span}; {ends}" if ends else span, paint)


def _range_label(bins: Sequence[int], place: int) -> str:
    if place == len(bins) - 1:
        return f"{bins[place]}+"
    low, high = list(pairwise(bins))[place]
    return str(low) if low == high - 1 else f"{low}–{high - 1}"


def _mark_cuts(axes: "Axes", cuts: Sequence[str], months: range) -> None:
    """A line at each cut with its words beside it, the later one above, so that no line crosses the other's words."""
    for place, (split, cut) in enumerate(zip(("train", "valid"), cuts, strict=False)):
        at, height = _moment(cut), 0.885 + 0.085 * place
        on_left = at - months[0] > 0.4 * len(months)
        axes.axvline(at, ymax=height + 0.03, color=INK, linewidth=1, linestyle=(0, (4, 3)))
        axes.annotate(
            f"{split} ends {day(cut)}",
            (at, height),
            xycoords=("data", "axes fraction"),
            xytext=(-5 if on_left else 5, 0),
            textcoords="offset points",
            ha="right" if on_left else "left",
            va="center",
            size=8.5,
            bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 1},
        )


def _month(date: str) -> int:
    """Months since year 0 of a date that begins like 2014-01."""
    return int(date[:4]) * 12 + int(date[5:7]) - 1


def _moment(date: str) -> float:
    """The same with the part of the month that has passed, of a date that begins like 2014-01-24."""
    return _month(date) + (int(date[8:10]) - 1) / 31


def _month_label(month: int, *, whole_years: bool) -> str:
    return f"{month // 12}" if whole_years else f"{month // 12}-{month % 12 + 1:02d}"
