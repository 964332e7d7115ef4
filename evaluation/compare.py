"""Put the reports of several runs side by side, with paired intervals where they judged the same samples.

    python -m evaluation.compare RUN RUN ... [--system kinrec] [--split test] [--finished] [--save FOLDER]
    python -m evaluation.compare RUN --systems graph,ridge,...

The first run, or the first system of one run, is what the others are compared with. Runs that differ by their seed
alone are also summed up together.
"""

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from evaluation.judged_run import JudgedRun, check_resamples, read_run, why_not_paired
from evaluation.metrics.intervals import Difference, paired_difference
from evaluation.metrics.metrics import METRICS, metric_values
from evaluation.report.report_parts import text_table
from launch.artifacts import write_json, write_text
from launch.errors import InputError
from launch.stage import entry_point
from launch.terminal import shown

COLUMNS = ("hr@1", "hr@5", "hr@10", "hr@20", "ndcg@10", "mrr")
DIFFERENCES = ("hr@10", "ndcg@10", "mrr")
SEED = 1


@entry_point
def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="kinrec compare", description="Several runs, or systems of one, side by side."
    )
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="a run's folder; the first is the reference")
    parser.add_argument("--system", help="the system to compare (default kinrec)")
    parser.add_argument("--systems", metavar="A,B", help="compare systems of one run; the first is the reference")
    parser.add_argument("--split", default="test", choices=("valid", "test"))
    parser.add_argument("--resamples", type=int, default=1000, help="bootstrap resamples of users")
    parser.add_argument("--finished", action="store_true", help="leave out what has not finished; then status 1")
    parser.add_argument("--save", type=Path, metavar="FOLDER", help="also write compare.txt and compare.json there")
    asked = parser.parse_args(argv)
    check_resamples(asked.resamples)
    chosen = {"split": asked.split, "resamples": asked.resamples}
    if asked.systems is not None:
        if len(asked.runs) > 1 or asked.system is not None or asked.finished:
            raise InputError("--systems compares systems of one run; leave the other runs, --system and --finished out")
        compared = compare_systems(asked.runs[0], asked.systems.split(","), **chosen)
    elif len(asked.runs) < 2:
        raise InputError("kinrec compare needs at least two runs, or --systems for those of one")
    else:
        compared = compare(asked.runs, system=asked.system or "kinrec", finished_only=asked.finished, **chosen)
    if asked.save is not None:
        write_text(asked.save / "compare.txt", render(compared))
        write_json(asked.save / "compare.json", as_json(compared))
    sys.stdout.write(render(compared))
    if compared.left_out:
        raise SystemExit(1)


@dataclass(frozen=True)
class Compared:
    """Several runs of one system, or several systems of one run, on one split."""

    system: str
    """Or the run, where systems are compared."""
    split: str
    runs: list[JudgedRun]
    differences: dict[str, dict[str, Difference]]
    """Run -> metric -> how much it is above the first run."""
    unpaired: dict[str, str]
    """Run -> why it has no such difference."""
    left_out: dict[str, str] = field(default_factory=dict)
    """Run -> why it is not there at all."""


def compare(
    paths: Sequence[Path], *, system: str, split: str, resamples: int = 1000, finished_only: bool = False
) -> Compared:
    """Read the runs and their paired differences to the first.

    Args:
        finished_only: leave a run out that cannot be read; otherwise it is refused.
    """
    runs, left_out = [], {}
    for path in paths:
        try:
            runs.append(read_run(path, system=system, split=split))
        except InputError as error:
            if not finished_only:
                raise
            left_out[str(path)] = str(error)
    if not runs:
        raise InputError(f"none of the {len(paths)} runs has finished; the first: {next(iter(left_out.values()))}")
    reasons = {run.name: why_not_paired(runs[0], run) for run in runs[1:]}
    return Compared(
        system=system,
        split=split,
        runs=runs,
        differences={run.name: _differences(run, runs[0], resamples) for run in runs[1:] if reasons[run.name] is None},
        unpaired={name: reason for name, reason in reasons.items() if reason is not None},
        left_out=left_out,
    )


def compare_systems(path: Path, systems: Sequence[str], *, split: str, resamples: int = 1000) -> Compared:
    """Systems of one run and their paired differences to the first; each goes by its own name in place of a run's."""
    names = [name.strip() for name in systems]
    if len(set(names)) < max(2, len(names)):
        raise InputError(f"--systems needs at least two different systems, got {','.join(systems)}")
    runs = [dataclasses.replace(read_run(path, system=name, split=split), name=name) for name in names]
    differences = {run.name: _differences(run, runs[0], resamples) for run in runs[1:]}
    return Compared(system=shown(str(path)), split=split, runs=runs, differences=differences, unpaired={})


def render(compared: Compared) -> str:
    """A table of the runs, one of the paired differences to the first, one of what the seeds have in common."""
    rows = [
        [run.name, run.pair, run.num_samples, *(float(run.numbers[column]) for column in COLUMNS), _interval(run)]
        for run in compared.runs
    ]
    lines = [
        f"{compared.system}, {compared.split}",
        text_table(["run or system", "pair", "samples", *COLUMNS, "hr@10 95 %"], rows),
    ]
    lines += [f"{name}: no paired difference, {reason}" for name, reason in compared.unpaired.items()]
    if compared.differences:
        header = ["", *(name for metric in DIFFERENCES for name in (metric, "95 %", "p"))]
        paired = [[name, *_cells(measured)] for name, measured in compared.differences.items()]
        lines += [f"difference to {compared.runs[0].name}, bootstrap over users", text_table(header, paired)]
    groups = over_seeds(compared.runs)
    if groups:
        spread = [
            [
                ", ".join(run.name for run in group),
                *(f"{mean:.4f} +- {deviation:.4f}" for mean, deviation in figures.values()),
            ]
            for group, figures in groups
        ]
        lines += ["over seeds: mean +- standard deviation", text_table(["runs", *COLUMNS], spread)]
    lines += [f"{name}: left out, {why}" for name, why in compared.left_out.items()]
    return "\n\n".join(lines) + "\n"


def as_json(compared: Compared) -> dict[str, Any]:  # Any: plain JSON values
    """The same as plain values."""
    return {
        "system": compared.system,
        "split": compared.split,
        "runs": [
            {"run": run.name, "pair": run.pair, "samples": run.num_samples, "seed": run.seed, "fingerprint": run.report}
            | {"metrics": run.numbers}
            for run in compared.runs
        ],
        "reference": compared.runs[0].name,
        "differences": {
            name: {
                metric: {"difference": apart.mean, "ci95": [apart.low, apart.high], "p": apart.p}
                for metric, apart in measured.items()
            }
            for name, measured in compared.differences.items()
        },
        "unpaired": compared.unpaired,
        "over_seeds": [
            {"runs": [run.name for run in group]}
            | {metric: {"mean": mean, "standard_deviation": deviation} for metric, (mean, deviation) in figures.items()}
            for group, figures in over_seeds(compared.runs)
        ],
        "left_out": compared.left_out,
    }


def over_seeds(runs: Sequence[JudgedRun]) -> list[tuple[list[JudgedRun], dict[str, tuple[float, float]]]]:
    """Runs that differ by their seed alone, with mean and standard deviation (of n - 1) of each metric over them."""
    groups: dict[str, dict[int, JudgedRun]] = {}
    for run in runs:
        if run.recipe is not None and run.seed is not None:
            groups.setdefault(run.recipe, {})[run.seed] = run
    return [(list(group.values()), _spread(list(group.values()))) for group in groups.values() if len(group) > 1]


def _spread(group: Sequence[JudgedRun]) -> dict[str, tuple[float, float]]:
    figures = {}
    for metric in COLUMNS:
        values = np.array([run.numbers[metric] for run in group])
        figures[metric] = (float(values.mean()), float(values.std(ddof=1)))
    return figures


def _differences(run: JudgedRun, reference: JudgedRun, resamples: int) -> dict[str, Difference]:
    here, there = np.argsort(run.sample), np.argsort(reference.sample)
    measured = paired_difference(
        metric_values(run.ranks[here]),
        metric_values(reference.ranks[there]),
        run.user[here],
        resamples=resamples,
        seed=SEED,
    )
    return {metric: measured[METRICS.index(metric)] for metric in DIFFERENCES}


def _cells(measured: dict[str, Difference]) -> list[object]:
    cells: list[object] = []
    for apart in measured.values():
        cells += [f"{apart.mean:+.4f}", f"{apart.low:+.4f} to {apart.high:+.4f}", f"{apart.p:.3f}"]
    return cells


def _interval(run: JudgedRun) -> str:
    low, high = run.numbers["ci95"]["hr@10"]
    return f"{low:.4f} to {high:.4f}"


if __name__ == "__main__":
    main()
