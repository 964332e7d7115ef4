"""How every plot looks: one size, one place for title and legend, colours that colour-blind readers tell apart.

A plot is SVG text and the same for the same data: no date, no random names, nothing of the machine.
"""

import io
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from evaluation.report.report_parts import Figure

if TYPE_CHECKING:  # matplotlib is loaded when the first plot is drawn
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure as Canvas

INK, MUTED, GRID, PAPER = "#1f2328", "#59636e", "#d8dee4", "#ffffff"
"""Text, lesser text, lines, background; a page may put its own in their place."""
ON_DARK, ON_LIGHT = "#fefefe", "#101418"
"""Text on a coloured area, on any page."""
# Okabe and Ito, "Color Universal Design", 2008.
DOMAIN_COLORS = {"X": "#0072b2", "Y": "#d55e00"}
SPLIT_COLORS = {"train": "#009e73", "valid": "#e69f00", "test": "#cc79a7"}
CLASS_COLORS = ("#d55e00", "#c6dbef", "#92c0de", "#4f93c4", "#1f5f9e")
"""From never seen, which stands out, to seen most often: light to dark."""
SIZE = (5.6, 3.5)
MANY = 5e6
"""From here on an axis counts in millions."""
SETTINGS: dict[Any, Any] = {  # Any: every setting has its own type
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.family": ["DejaVu Sans", "sans-serif"],
    "font.size": 9,
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.labelsize": 9,
    "axes.edgecolor": GRID,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "xtick.color": GRID,
    "ytick.color": GRID,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "ytick.major.size": 0,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
    "figure.facecolor": PAPER,
    "axes.facecolor": PAPER,
    "legend.frameon": False,
    "legend.labelcolor": INK,
}


@dataclass(frozen=True)
class Plot:
    """A figure of the report and its drawing."""

    figure: Figure
    svg: str


def make_plot(name: str, title: str, alt: str, paint: "Callable[[Canvas, Axes], None]") -> Plot:
    """A plot: the title and the frame are made here, the rest by `paint`."""
    return Plot(Figure(name, title, alt), _draw_svg(name, title, paint))


def add_legend(figure: "Canvas", handles: "Sequence[Artist]", labels: Sequence[str]) -> None:
    """One row between the title and the data, which it therefore never covers."""
    figure.legend(
        handles,
        labels,
        loc="upper left",
        bbox_to_anchor=(0.012, 0.915),
        ncols=max(len(labels), 1),
        borderpad=0,
        borderaxespad=0,
        handlelength=1.1,
        handleheight=0.9,
        handletextpad=0.5,
        columnspacing=1.5,
    )


def use_thousands(axis: "Axis") -> None:
    """Counts as 12,000, or as 12 M where they are many millions."""

    def write(value: float, _: float | None) -> str:
        return _millions(value) if value and axis.get_view_interval()[1] >= MANY else f"{value:,.0f}"

    axis.set_major_formatter(write)


def use_log_thousands(axes: "Axes", which: Literal["x", "y"]) -> None:
    """Counts on a logarithmic scale, which also has 2 and 5 between the powers of ten where there are few."""
    from matplotlib.ticker import LogLocator, NullFormatter

    axis = axes.xaxis if which == "x" else axes.yaxis
    low, high = axis.get_data_interval()
    axes.set(**{f"{which}scale": "log"})
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high < 300 * low else (1.0,)))
    axis.set_major_formatter(lambda value, _: _millions(value) if value >= 1e6 else f"{value:,.0f}")
    axis.set_minor_formatter(NullFormatter())


def use_percent(axis: "Axis") -> None:
    """Shares as 12 %."""
    axis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")


def _draw_svg(name: str, title: str, paint: "Callable[[Canvas, Axes], None]") -> str:
    import matplotlib
    from matplotlib.figure import Figure as Canvas

    drawn = io.StringIO()
    with matplotlib.rc_context(), warnings.catch_warnings():
        matplotlib.rcdefaults()  # a reader's own matplotlibrc changes nothing
        matplotlib.rcParams.update({**SETTINGS, "svg.hashsalt": name})
        # A name in a script that the measuring font lacks is still shown by the reader's own fonts.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure = Canvas(figsize=SIZE)
        figure.set_layout_engine("constrained", rect=(0.012, 0.01, 0.976, 0.82), w_pad=0, h_pad=0)
        figure.text(0.012, 0.975, title, size=11, weight="bold", va="top")
        paint(figure, figure.subplots())
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(drawn, format="svg", metadata=nothing)
    return _tidy(drawn.getvalue(), name)


def _millions(value: float) -> str:
    return f"{value / 1e6:g} M"


def _tidy(svg: str, name: str) -> str:
    """Only the names inside the drawing that it refers to, and those with the plot's name in front: several plots
    can stand in one page."""
    used = set(re.findall(r'(?:url\(|href=")#([\w-]+)', svg))
    svg = re.sub(r' id="([^"]+)"', lambda match: f' id="{name}-{match[1]}"' if match[1] in used else "", svg)
    return re.sub(r'(url\(|href=")#([\w-]+)', rf"\g<1>#{name}-\g<2>", svg)
