"""Put the reports of several runs side by side, with paired intervals where they judged the same samples.

    python -m evaluation.compare RUN RUN ... [--system kinrec] [--split test]

The first run is what the others are compared with.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from evaluation.metrics.intervals import paired_difference
from evaluation.metrics.metrics import METRICS, metric_values
from evaluation.metrics.ranks import Ranks
from evaluation.report.report_parts import text_table
from launch.artifacts import read_json, sha256_file
from launch.errors import InputError
from launch.stage import entry_point
from launch.stages import stage_named
from launch.state.states import recipe_of, state_of
from launch.terminal import shown

COLUMNS = ("hr@1", "hr@5", "hr@10", "hr@20", "ndcg@10", "mrr")
DIFFERENCES = ("hr@10", "ndcg@10", "mrr")
SEED = 1


@entry_point
def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="kinrec compare", description="The final lists of several runs side by side.")
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="a run's folder; the first is the reference")
    parser.add_argument("--system", default="kinrec", help="the system to compare (default kinrec)")
    parser.add_argument("--split", default="test", choices=("valid", "test"))
    parser.add_argument("--resamples", type=int, default=1000, help="bootstrap resamples of users")
    asked = parser.parse_args(argv)
    if len(asked.runs) < 2:
        raise InputError("kinrec compare needs at least two runs")
    if asked.resamples < 100:
        raise InputError(f"--resamples must be at least 100, got {asked.resamples}")
    sys.stdout.write(compare(asked.runs, system=asked.system, split=asked.split, resamples=asked.resamples))


@dataclass(frozen=True)
class JudgedRun:
    """What a finished run says about one system on one split."""

    name: str
    pair: str
    fingerprint: str
    """Of the catalogue and the split: equal ones have the same samples and items."""
    filter_history: bool
    numbers: dict[str, Any]  # Any: plain JSON values
    num_samples: int
    sample: NDArray[np.int64]
    user: NDArray[np.int64]
    ranks: Ranks


def compare(runs: Sequence[Path], *, system: str, split: str, resamples: int = 1000) -> str:
    """A table of the runs, and one of the paired differences to the first where the samples are the same."""
    read = [read_run(path, system=system, split=split) for path in runs]
    rows = [
        [run.name, run.pair, run.num_samples, *(float(run.numbers[column]) for column in COLUMNS), _interval(run)]
        for run in read
    ]
    lines = [
        f"{system}, {split}",
        text_table(["run", "pair", "samples", *COLUMNS, "hr@10 95 %"], rows),
    ]
    paired = []
    for run in read[1:]:
        reason = why_not_paired(read[0], run)
        if reason is None:
            paired.append([run.name, *_differences(run, read[0], resamples)])
        else:
            lines.append(f"{run.name}: no paired difference, {reason}")
    if paired:
        header = ["run", *(name for metric in DIFFERENCES for name in (metric, "95 %", "p"))]
        lines += [f"difference to {read[0].name}, bootstrap over users", text_table(header, paired)]
    return "\n\n".join(lines) + "\n"


def read_run(path: Path, *, system: str, split: str) -> JudgedRun:
    """Read one run's report; what is not there, or does not hold any more, is said by name."""
    state = state_of(path, stage_named("evaluate"), recipe_of(path))
    if state.kind not in {"finished", "absent"}:  # absent: a report that came without its run's records
        raise InputError(
            f"{path}: evaluate is {state.kind}{': ' if state.why else ''}{state.why}; "
            f"run `kinrec run {path / 'recipe.yaml'}` first"
        )
    report, ranks_path = path / "report" / "metrics.json", path / "report" / f"ranks_{split}.parquet"
    items_path, samples_path = path / "pair" / "items.parquet", path / "pair" / f"{split}.arrow"
    for needed in (report, ranks_path, items_path, samples_path):
        if not needed.is_file():
            raise InputError(f"{needed}: no such file; run `kinrec evaluate` for {path} first")
    metrics = read_json(report)
    table = pq.read_table(ranks_path)
    systems = metrics["splits"][split]["systems"]
    if system not in systems or system not in table.column_names:
        raise InputError(f"{path}: no system {system!r}; its report has {', '.join(systems)}")
    ranks_N = table.column(system).cast("double").fill_null(float("inf")).to_numpy()
    return JudgedRun(
        name=shown(str(path)),
        pair=shown(metrics["pair"]),
        fingerprint=sha256_file(items_path) + sha256_file(samples_path),
        filter_history=metrics["settings"]["filter_history"],
        numbers=systems[system]["all"],
        num_samples=metrics["splits"][split]["num_samples"],
        sample=table.column("sample").to_numpy(),
        user=table.column("user").to_numpy(),
        ranks=ranks_N,
    )


def why_not_paired(one: JudgedRun, other: JudgedRun) -> str | None:
    """None if both judged the same samples in the same way, else what differs."""
    if one.fingerprint != other.fingerprint:
        return "the prepared pairs differ"
    if one.filter_history != other.filter_history:
        return "only one of them leaves the history's items out"
    if not np.array_equal(np.sort(one.sample), np.sort(other.sample)):
        return "they judged different samples"
    return None


def _differences(run: JudgedRun, reference: JudgedRun, resamples: int) -> list[object]:
    here, there = np.argsort(run.sample), np.argsort(reference.sample)
    measured = paired_difference(
        metric_values(run.ranks[here]),
        metric_values(reference.ranks[there]),
        run.user[here],
        resamples=resamples,
        seed=SEED,
    )
    cells: list[object] = []
    for metric in DIFFERENCES:
        difference = measured[METRICS.index(metric)]
        cells += [f"{difference.mean:+.4f}", f"{difference.low:+.4f} to {difference.high:+.4f}", f"{difference.p:.3f}"]
    return cells


def _interval(run: JudgedRun) -> str:
    low, high = run.numbers["ci95"]["hr@10"]
    return f"{low:.4f} to {high:.4f}"


if __name__ == "__main__":
    main()
