"""What a run has reached, read from its manifests and its metrics.json alone."""

from pathlib import Path
from typing import Any

from launch.artifacts import read_json
from launch.errors import InputError
from launch.manifests import read_manifest, started_path, why_altered
from launch.stages import STAGES, stage_named
from launch.systems import SYSTEMS
from launch.terminal import shown, shown_lines

COLUMNS = ("hr@1", "hr@5", "hr@10", "hr@20", "ndcg@10", "mrr")


def render_status(run_dir: Path) -> str:
    """One line a stage: finished, stale, interrupted or not started; then the headline."""
    if not (run_dir / "recipe.yaml").is_file():
        raise InputError(f"{run_dir}: not the folder of a run")
    lines = [f"{run_dir}"]
    current: dict[str, str] = {}
    for stage in STAGES:
        manifest = read_manifest(run_dir, stage)
        if manifest is None:
            interrupted = started_path(run_dir, stage).is_file()
            lines.append(f"  {stage.name:<9} {'started, not finished' if interrupted else '-'}")
            continue
        current[stage.name] = manifest["fingerprint"]
        lines.append(f"  {stage.name:<9} {_state(run_dir, manifest, current)}")
    metrics = run_dir / "report" / "metrics.json"
    if metrics.is_file() and "evaluate" in current:
        lines.append("")
        lines.append(_table(read_json(metrics), "test"))
    return shown_lines("\n".join(lines) + "\n")


def render_summary(run_dir: Path) -> str:
    """The table of every split and where the report is."""
    metrics = read_json(run_dir / "report" / "metrics.json")
    tables = [_table(metrics, split) for split in metrics["splits"]]
    places = [f"report: {run_dir / 'report' / name}" for name in ("report.md", "report.html")]
    return shown_lines("\n\n".join(["", *tables, "\n".join(places)]) + "\n")


def _state(run_dir: Path, manifest: dict[str, Any], current: dict[str, str]) -> str:
    altered = why_altered(run_dir, manifest)
    if altered is not None:
        return f"stale: {altered}"
    for name in stage_named(manifest["stage"]).reads:
        if current.get(name) != manifest["inputs"].get(name):
            return f"stale: {name} has changed since"
    return f"finished in {manifest['seconds']:.1f} s on {manifest['world_size']} rank(s)"


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
