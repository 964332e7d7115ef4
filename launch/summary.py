"""The headline of a finished run, read from its metrics.json alone."""

from pathlib import Path
from typing import Any

from launch.artifacts import read_json
from launch.systems import SYSTEMS
from launch.terminal import shown, shown_lines

COLUMNS = ("hr@1", "hr@5", "hr@10", "hr@20", "ndcg@10", "mrr")


def render_summary(run_dir: Path) -> str:
    """The table of every split and where the report is."""
    metrics = read_json(run_dir / "report" / "metrics.json")
    tables = [*llm_adds(metrics), *(table(metrics, split) for split in metrics["splits"])]
    places = [f"report: {run_dir / 'report' / name}" for name in ("report.md", "report.html")]
    return shown_lines("\n\n".join(["", *tables, "\n".join(places)]) + "\n")


def llm_adds(metrics: dict[str, Any]) -> list[str]:  # Any: plain JSON values
    """What the language model adds to the final list, in a line; nothing where there was none to ask."""
    share = metrics.get("llm_adds")
    if not share:
        return []
    split = "test" if "test" in share else "valid"
    gains = []
    for name, gain in share[split].items():
        low, high = gain["ci95"]
        gains.append(f"{name} {gain['difference']:+.4f} [{low:+.4f}, {high:+.4f}]")
    told = f"{', '.join(gains)} on {split}, paired by user"
    if share["weight"]:
        return [f"The language model has weight {share['weight']:g} in the final list: {told}."]
    return [f"The language model adds nothing here: its weight is 0 (at {share['best_tried']:g}: {told})."]


def table(metrics: dict[str, Any], split: str) -> str:
    """The systems of a split, one a line."""
    judged = metrics["splits"][split]
    names = [name for name in SYSTEMS if name in judged["systems"]]
    names += [name for name in judged["systems"] if name not in SYSTEMS]
    rows = [["", *COLUMNS, "hr@10 95 %"]]
    for name in names:
        overall = judged["systems"][name]["all"]
        low, high = overall["ci95"]["hr@10"]
        rows.append([shown(name), *(f"{overall[column]:.4f}" for column in COLUMNS), f"[{low:.4f}, {high:.4f}]"])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [f"{shown(metrics['pair'])}, {split}: {judged['num_samples']} samples"]
    for row in rows:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        lines.append("  " + "  ".join(cells))
    return "\n".join(lines)
