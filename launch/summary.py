"""What a run has reached, read from its manifests and its metrics.json alone."""

from pathlib import Path
from typing import Any

from launch.artifacts import read_json
from launch.errors import InputError
from launch.state.states import State, recipe_of, states_of
from launch.systems import SYSTEMS
from launch.terminal import shown, shown_lines

COLUMNS = ("hr@1", "hr@5", "hr@10", "hr@20", "ndcg@10", "mrr")


def render_status(run_dir: Path) -> str:
    """One line a stage: its state and why; then the headline, if the report holds."""
    if not (run_dir / "recipe.yaml").is_file() and not (run_dir / "manifests").is_dir():
        raise InputError(f"{run_dir}: not the folder of a run")
    recipe = recipe_of(run_dir)
    damaged = "" if recipe is not None else "  (recipe.yaml is damaged or gone: whether results fit it is not known)"
    states = states_of(run_dir, recipe)
    lines = [f"{run_dir}{damaged}", *(f"  {name:<9} {_words(state)}" for name, state in states.items())]
    metrics = run_dir / "report" / "metrics.json"
    if states["evaluate"].holds and metrics.is_file():
        lines += ["", _table(read_json(metrics), "test")]
    return shown_lines("\n".join(lines) + "\n")


def render_summary(run_dir: Path) -> str:
    """The table of every split and where the report is."""
    metrics = read_json(run_dir / "report" / "metrics.json")
    tables = [_table(metrics, split) for split in metrics["splits"]]
    places = [f"report: {run_dir / 'report' / name}" for name in ("report.md", "report.html")]
    return shown_lines("\n\n".join(["", *tables, "\n".join(places)]) + "\n")


def _words(state: State) -> str:
    if state.kind == "absent":
        return "-"
    if state.kind != "finished":
        return f"{state.kind}: {state.why}" if state.why else state.kind
    assert state.manifest is not None
    return f"finished in {state.manifest['seconds']:.1f} s on {state.manifest['world_size']} rank(s)"


def _table(metrics: dict[str, Any], split: str) -> str:
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
