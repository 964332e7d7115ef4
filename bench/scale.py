"""How every stage grows: synthetic pairs of growing size, each stage in a process of its own, and the slopes.

    python -m bench.scale --users 10000 100000 [--items-share 0.25] [--stages prepare pretrain ...] [--json]
        [--target 10000000 --ranks 64]

The catalogue grows with the users (`--items-share` items to a user). Training is bounded by steps
(bench/scaling/few_steps.py), the fine-tune and what it answers as well (bench/scaling/runs.py); all else is whole.
Slopes are log by log, from the smallest size to the largest: in users, that of a stage's CPU seconds; in the catalogue,
that of its CPU seconds per sample: 0 is flat, 1 says that a sample costs as much more as there are more items. Start-up
is counted, so small sizes look flatter than they are. `--target` carries them on to a size that is not run
(bench/scaling/target.py says what that assumes).
"""

import argparse
import json
import math
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.scaling.runs import STAGES, STEP, Cost, SizedRun, run_size
from bench.scaling.target import ASSUMPTIONS, estimates, render_target

MIB = 2**20
NAMES = [stage.name for stage in STAGES]
Json = dict[str, Any]  # Any: plain JSON values


def main(argv: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, nargs="+", default=[2_000, 10_000])
    parser.add_argument("--items-share", type=float, default=0.25, help="items, both domains together, to a user")
    parser.add_argument("--stages", nargs="+", choices=NAMES, default=NAMES, help="those not run before must be named")
    parser.add_argument("--folder", type=Path, help="keep the runs here; what is there is gone on with")
    parser.add_argument("--minutes", type=float, default=60.0, help="that a stage may take")
    parser.add_argument("--train-lists", type=int, help="graph.train_lists of the runs; all train samples without it")
    parser.add_argument("--held-out-lists", type=int, help="graph.held_out_lists; all of valid and test without it")
    parser.add_argument("--processes", type=int, default=1, help="ranks here that share the stages that can be shared")
    parser.add_argument("--target", type=int, metavar="USERS", help="estimate the stages at so many users as well")
    parser.add_argument("--ranks", type=int, default=64, help="that share the stages at the target")
    parser.add_argument("--json", action="store_true", help="print one JSON object last")
    options = parser.parse_args(argv)
    if options.target and options.processes > 1:
        parser.error("--target carries on what one process took; leave --processes out")
    with tempfile.TemporaryDirectory() as temporary:
        runs = [
            run_size(
                users, items=max(2, round(options.items_share * users)), folder=options.folder or Path(temporary),
                names=options.stages, minutes=options.minutes, train_lists=options.train_lists,
                held_out_lists=options.held_out_lists, ranks=options.processes, say=_say,
            )
            for users in sorted(options.users)
        ]  # fmt: skip
    print(render(runs))
    told = to_json(runs)
    if options.target:
        estimated = estimates(runs, users=options.target, ranks=options.ranks)
        print("\n" + render_target(estimated, users=options.target))
        told["target"] = {
            "users": options.target,
            "stages": [asdict(estimate) for estimate in estimated],
            "assumptions": ASSUMPTIONS,
        }
    if options.json:
        print(json.dumps(told))


def slopes(runs: Sequence[SizedRun]) -> dict[str, dict[str, float]]:
    """Stage -> `users` and `catalogue`, the slopes between the smallest and the largest size that have it."""
    told = {}
    for name in (*NAMES, STEP):
        there = [run for run in runs if name in run.costs]
        if len(there) > 1:
            first, last = there[0], there[-1]
            low, high = first.costs[name], last.costs[name]
            told[name] = {
                "users": slope(first.sizes.users, last.sizes.users, low.cpu_seconds, high.cpu_seconds),
                "catalogue": slope(first.sizes.items, last.sizes.items, low.cpu_per_sample, high.cpu_per_sample),
                "memory": slope(first.sizes.users, last.sizes.users, low.peak_gib, high.peak_gib),
            }
    return told


def slope(first: float, last: float, low: float, high: float) -> float:
    """Of a line through two points, log by log."""
    return math.log(max(high, 1e-9) / max(low, 1e-9)) / math.log(last / first)


def to_json(runs: Sequence[SizedRun]) -> Json:
    """All that was measured."""
    return {
        "bench": "scale",
        "runs": [
            {
                "users": run.users,
                "sizes": asdict(run.sizes),
                "stages": {name: asdict(cost) | {"cpu_per_sample": cost.cpu_per_sample}
                           for name, cost in run.costs.items()},
                "stopped": run.stopped,
            }
            for run in runs
        ],
        "slopes": slopes(runs),
    }  # fmt: skip


def render(runs: Sequence[SizedRun]) -> str:
    """A table for people."""
    heads = [f"{run.sizes.users:,} users, {run.sizes.items:,} items" for run in runs]
    lines = [
        f"{'':<12}" + "".join(f"{head:>44}" for head in heads) + f"{'slope in users':>16}{'in catalogue':>14}",
        f"{'':<12}" + f"{'CPU s':>12}{'GiB':>8}{'own':>8}{'MiB':>8}{'us each':>8}" * len(runs),
    ]
    told = slopes(runs)
    for name in (*NAMES, STEP):
        cells = [_cells(run.costs.get(name)) for run in runs]
        if any(cell.strip() for cell in cells):
            slopes_of = f"{told[name]['users']:>16.2f}{told[name]['catalogue']:>14.2f}" if name in told else ""
            lines.append(f"{name:<12}" + "".join(cells) + slopes_of)
    return "\n".join(lines)


def _cells(cost: Cost | None) -> str:
    if cost is None:
        return " " * 44
    memory = f"{cost.peak_gib:>8.2f}{cost.own_gib:>8.2f}"
    return f"{cost.cpu_seconds:>12.2f}{memory}{cost.written / MIB:>8.0f}{1e6 * cost.cpu_per_sample:>8.0f}"


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
