"""Write the report: `report.md` and its plots as files, and `report.html` with all of it inside."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evaluation.report.build import build_report, timing_parts
from evaluation.report.data.plots import draw_data_plots
from evaluation.report.plot_style import Plot
from evaluation.report.render_html import render_html
from evaluation.report.render_markdown import PLOTS, render_markdown
from launch.artifacts import atomic_folder, write_text

Json = Mapping[str, Any]  # Any: plain JSON values


def publish_plots(card: Json, folder: Path) -> list[Plot]:
    """Draw the plots of the data card; those of an earlier card go."""
    plots = draw_data_plots(card)
    with atomic_folder(folder / PLOTS) as partial:
        for plot in plots:
            (partial / f"{plot.figure.name}.svg").write_text(plot.svg, encoding="utf-8")
    return plots


def publish_report(metrics: Json, card: Json, plots: Sequence[Plot], folder: Path) -> None:
    """Both forms of the report. Timing stands in the HTML alone: equal results give an equal `report.md`."""
    report = build_report(metrics, card, [plot.figure for plot in plots])
    write_text(folder / "report.md", render_markdown(report))
    drawn = {plot.figure.name: plot.svg for plot in plots}
    write_text(folder / "report.html", render_html([*report, *timing_parts(metrics["timing"])], drawn))
