"""The plots of the data card. Each says one thing; what an older card does not hold is not drawn."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from evaluation.report.card_values import domain_label, filter_steps, look, present_splits
from evaluation.report.histogram_plots import plot_history_lengths, plot_item_popularity, plot_months
from evaluation.report.plot_style import (
    CLASS_COLORS,
    DOMAIN_COLORS,
    INK,
    MUTED,
    ON_DARK,
    ON_LIGHT,
    PAPER,
    Plot,
    add_legend,
    make_plot,
    use_percent,
    use_thousands,
)

if TYPE_CHECKING:  # matplotlib is loaded when the first plot is drawn
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

Json = Mapping[str, Any]  # Any: plain JSON values


def draw_data_plots(card: Json) -> list[Plot]:
    """Every plot that the card holds numbers for."""
    makers: tuple[Callable[[Json], Plot | None], ...] = (
        plot_history_lengths,
        plot_item_popularity,
        plot_months,
        plot_target_classes,
        plot_drift,
        plot_filters,
    )
    return [plot for plot in (make(card) for make in makers) if plot is not None]


def plot_target_classes(card: Json) -> Plot | None:
    """How often train shows the targets of each split."""
    popularity = look(card, "popularity.targets")
    classes = {split: look(popularity, f"{split}.by_train_count") for split in present_splits(popularity)}
    classes = {split: shares_of for split, shares_of in classes.items() if shares_of}
    if not classes:
        return None
    names = list(next(iter(classes.values())))

    def paint(canvas: "Canvas", axes: "Axes") -> None:
        rows = range(len(classes))
        left = [0.0] * len(classes)
        bars = []
        for name, color in zip(names, CLASS_COLORS, strict=False):
            shares = [shares_of.get(name, 0.0) for shares_of in classes.values()]
            bars.append(axes.barh(rows, shares, left=left, height=0.62, color=color, edgecolor=PAPER, linewidth=1))
            for row, share in zip(rows, shares, strict=True):
                if share >= 0.05:
                    middle, ink = left[row] + share / 2, _ink_on(color)
                    axes.text(middle, row, f"{100 * share:.0f} %", ha="center", va="center", color=ink, size=8.5)
            left = [before + share for before, share in zip(left, shares, strict=True)]
        axes.set_yticks(rows, list(classes), color=INK)
        axes.invert_yaxis()
        axes.set_xlim(0, 1)
        axes.set_xlabel("share of the split's targets, by how often train shows the item")
        axes.grid(axis="x")
        use_percent(axes.xaxis)
        labels = ["never" if name == "0" else f"{name.replace('-', '–')} times" for name in names]
        add_legend(canvas, [bar.patches[0] for bar in bars], labels)

    never = ", ".join(f"{split} {100 * shares_of.get('0', 0.0):.1f} %" for split, shares_of in classes.items())
    return make_plot("target_popularity", "How often train shows the targets", f"Never in train: {never}", paint)


def plot_drift(card: Json) -> Plot | None:
    """How far held-out targets are distributed from train's, beside what chance gives."""
    drift = look(card, "popularity_drift")
    rows = [
        (f"{split}, {letter}", measured["distance"], measured["by_chance"], letter)
        for split in present_splits(drift)
        for letter in DOMAIN_COLORS
        if (measured := look(drift, f"{split}.{letter}")) and measured.get("distance") is not None
    ]
    if not rows:
        return None

    def paint(canvas: "Canvas", axes: "Axes") -> None:
        handles = {}
        for place, (_, distance, chance, letter) in enumerate(rows):
            color = DOMAIN_COLORS[letter]
            axes.plot([chance, distance], [place, place], color=color, linewidth=3, alpha=0.5, zorder=2)
            handles["by chance"] = axes.scatter(
                [chance], [place], s=46, facecolor=PAPER, edgecolor=MUTED, linewidth=1.5, zorder=3
            )
            handles[domain_label(card, letter)] = axes.scatter([distance], [place], s=52, color=color, zorder=4)
            right = distance >= chance
            axes.annotate(
                f"{distance:.2f}",
                (distance, place),
                xytext=(8 if right else -8, 0),
                textcoords="offset points",
                ha="left" if right else "right",
                va="center",
                size=8.5,
            )
        axes.set_yticks(range(len(rows)), [label for label, *_ in rows], color=INK)
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_xlim(0, 1.06)
        axes.set_xticks([0, 0.2, 0.4, 0.6, 0.8, 1])
        axes.set_xlabel("Jensen-Shannon distance from train's targets (0: equal, 1: disjoint)")
        axes.grid(axis="x")
        order = [name for name in handles if name != "by chance"] + ["by chance"]
        add_legend(canvas, [handles[name] for name in order], order)

    alt = ", ".join(f"{label} {distance:.2f} (chance {chance:.2f})" for label, distance, chance, _ in rows)
    return make_plot("popularity_drift", "How far popularity drifts", f"Distance from train: {alt}", paint)


def plot_filters(card: Json) -> Plot | None:
    """What each filter leaves of the interactions."""
    steps = filter_steps(card)
    if not steps:
        return None

    def paint(canvas: "Canvas", axes: "Axes") -> None:
        most = max(max(counts["X"], counts["Y"]) for _, counts in steps) or 1
        bars = []
        for letter, shift in (("X", -0.2), ("Y", 0.2)):
            places = [row + shift for row in range(len(steps))]
            sizes = [counts[letter] for _, counts in steps]
            bars.append(axes.barh(places, sizes, height=0.36, color=DOMAIN_COLORS[letter]))
            for place, size in zip(places, sizes, strict=True):
                axes.text(size + 0.012 * most, place, f"{size:,}", va="center", size=8, color=INK)
        axes.set_yticks(
            range(len(steps)),
            [f"{step}\n{counts['users']:,} users" if "users" in counts else step for step, counts in steps],
        )
        axes.set_ylim(len(steps) - 0.5, -0.5)
        axes.set_xlim(0, 1.2 * most)
        axes.set_xlabel("interactions left after the step")
        axes.locator_params(axis="x", nbins=5)
        axes.grid(axis="x")
        use_thousands(axes.xaxis)
        add_legend(canvas, [bar.patches[0] for bar in bars], [domain_label(card, letter) for letter in ("X", "Y")])

    first, last = steps[0][1], steps[-1][1]
    kept = (last["X"] + last["Y"]) / max(first["X"] + first["Y"], 1)
    return make_plot("filters", "What the filters leave", f"{100 * kept:.1f} % of the interactions are kept", paint)


def _ink_on(color: str) -> str:
    """Black or white, whichever is read more easily on a colour."""
    red, green, blue = (int(color[place : place + 2], 16) for place in (1, 3, 5))
    return ON_LIGHT if 0.299 * red + 0.587 * green + 0.114 * blue > 140 else ON_DARK
