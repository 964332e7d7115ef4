"""The table of `kinrec ablate`: with each part on and off, and what lies between, paired by user.

    python -m evaluation.ablation RUN/ablate [--resamples 1000]

Reads parts.json there and the reports of the runs that it names; writes ablation.txt and ablation.json beside it.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from evaluation.compare import SEED
from evaluation.judged_run import JudgedRun, check_resamples, read_run, why_not_paired
from evaluation.metrics.intervals import Array, paired_difference
from evaluation.metrics.metrics import METRICS, metric_values
from evaluation.report.report_parts import text_table
from launch.artifacts import read_json, write_json, write_text
from launch.stage import entry_point

SPLITS = ("valid", "test")
JUDGED_SYSTEMS = ("graph", "kinrec")
SHOWN = ("hr@10", "mrr")
HEADER = ("part", "in the recipe", *(f"{metric} {what}" for metric in SHOWN for what in ("on", "off", "earns", "95 %")))
Json = dict[str, Any]  # Any: plain JSON values


@entry_point
def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="kinrec ablate", description="The table of an ablation.")
    parser.add_argument("folder", type=Path, help="RUN/ablate, with parts.json")
    parser.add_argument("--resamples", type=int, default=1000, help="bootstrap resamples of users")
    asked = parser.parse_args(argv)
    check_resamples(asked.resamples)
    table = ablation_table(asked.folder, resamples=asked.resamples)
    write_json(asked.folder / "ablation.json", table)
    write_text(asked.folder / "ablation.txt", render(table))
    sys.stdout.write(render(table))


@dataclass(frozen=True)
class OnAndOff:
    """One part, one system, one split: the runs with it and without it, seed by seed."""

    on: Mapping[str, JudgedRun]
    off: Mapping[str, JudgedRun]

    def as_json(self, resamples: int) -> Json:
        """Figures of both, and `earns`, how much `on` is above `off`; or why that cannot be paired."""
        reasons = [why_not_paired(self.on[seed], self.off[seed]) for seed in self.on]
        reason = next((reason for reason in reasons if reason is not None), None)
        earned = {"unpaired": reason} if reason is not None else {"earns": self._earned(resamples)}
        return {"on": _figures(self.on), "off": _figures(self.off), **earned}

    def _earned(self, resamples: int) -> Json:
        """Paired by user: one who is drawn brings the samples of every seed."""
        values_on, values_off = ([_values(run) for run in by_seed.values()] for by_seed in (self.on, self.off))
        user_N = np.concatenate([run.user[np.argsort(run.sample)] for run in self.on.values()])
        measured = paired_difference(
            np.concatenate(values_on), np.concatenate(values_off), user_N, resamples=resamples, seed=SEED
        )
        earned = {}
        for metric in SHOWN:
            column = METRICS.index(metric)
            apart = measured[column]
            by_seed = {
                seed: float((one[:, column] - other[:, column]).mean())
                for seed, one, other in zip(self.on, values_on, values_off, strict=True)
            }
            earned[metric] = _spread(by_seed) | {"mean": apart.mean, "ci95": [apart.low, apart.high], "p": apart.p}
        return earned


def ablation_table(folder: Path, *, resamples: int) -> Json:
    """The table of what parts.json says is finished."""
    told = read_json(folder / "parts.json")
    return {
        "recipe": told["recipe"],
        "seeds": [int(seed) for seed in told["references"]],
        "splits": {
            split: {system: _of_system(folder, told, system, split, resamples) for system in JUDGED_SYSTEMS}
            for split in SPLITS
        },
        "parts": {part["part"]: {key: part[key] for key in ("what", "in_recipe", "waiting")} for part in told["parts"]},
        "not_switched": {part["part"]: part["why_not"] for part in told["parts"] if part["why_not"] is not None},
    }


def render(table: Json) -> str:
    """A table for each split and system, then what is not in them and why."""
    seeds = table["seeds"]
    lines = [
        f"{table['recipe']}, {_named(seeds)}: what each part earns, on - off, with its 95 % interval by user.\n"
        "Choices are made on valid; test says what a choice was worth."
    ]
    for split, systems in table["splits"].items():
        for system, judged in systems.items():
            figures = ", ".join(f"{metric} {_level(judged['reference'][metric])}" for metric in SHOWN)
            lines.append(f"{system}, {split}, {judged['num_samples']} samples; the recipe as it is: {figures}")
            rows = [
                [name, "on" if table["parts"][name]["in_recipe"] else "off", *_cells(part)]
                for name, part in judged["parts"].items()
            ]
            if rows:
                lines.append(text_table(HEADER, rows))
            lines += [
                f"{name}: no paired difference, {part['unpaired']}"
                for name, part in judged["parts"].items()
                if "unpaired" in part
            ]
    if len(seeds) > 1:
        lines.append("over seeds: mean +- standard deviation; the intervals are of all seeds together")
    lines.append("\n".join(f"{name}: {part['what']}" for name, part in table["parts"].items()))
    lines += [f"{name}: not switched, {reason}" for name, reason in table["not_switched"].items()]
    lines += [
        f"{name}: not finished yet, {_named(part['waiting'])}"
        for name, part in table["parts"].items()
        if part["waiting"]
    ]
    return "\n\n".join(lines) + "\n"


def _named(seeds: Sequence[int]) -> str:
    return f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"


def _of_system(folder: Path, told: Json, system: str, split: str, resamples: int) -> Json:
    """The reference's figures, and each part's that has a run."""
    references = _read(folder, told["references"], system, split)
    parts = {}
    for part in told["parts"]:
        others = _read(folder, part["runs"], system, split)
        same = {seed: references[seed] for seed in others}
        if others:
            pair = OnAndOff(same, others) if part["in_recipe"] else OnAndOff(others, same)
            parts[part["part"]] = pair.as_json(resamples)
    first = next(iter(references.values()))
    return {"num_samples": first.num_samples, "reference": _figures(references), "parts": parts}


def _read(folder: Path, names: Mapping[str, str], system: str, split: str) -> dict[str, JudgedRun]:
    return {seed: read_run(folder / name, system=system, split=split) for seed, name in names.items()}


def _figures(by_seed: Mapping[str, JudgedRun]) -> Json:
    return {metric: _spread({seed: float(run.numbers[metric]) for seed, run in by_seed.items()}) for metric in SHOWN}


def _spread(by_seed: Mapping[str, float]) -> Json:
    """Mean and standard deviation (of n - 1; none of a single seed)."""
    values = np.array(list(by_seed.values()))
    deviation = float(values.std(ddof=1)) if len(values) > 1 else None
    return {"mean": float(values.mean()), "standard_deviation": deviation, "by_seed": dict(by_seed)}


def _values(run: JudgedRun) -> Array:
    """[N, M] metrics in order of sample."""
    return metric_values(run.ranks[np.argsort(run.sample)])


def _cells(part: Json) -> Sequence[str]:
    cells = []
    for metric in SHOWN:
        cells += [_level(part["on"][metric]), _level(part["off"][metric])]
        earned = part.get("earns", {}).get(metric)
        cells += ["", ""] if earned is None else [_level(earned, sign="+"), _interval(earned["ci95"])]
    return cells


def _level(figures: Json, sign: str = "") -> str:
    deviation = figures["standard_deviation"]
    return f"{figures['mean']:{sign}.4f}" + ("" if deviation is None else f" +- {deviation:.4f}")


def _interval(ends: Sequence[float]) -> str:
    return f"{ends[0]:+.4f} to {ends[1]:+.4f}"


if __name__ == "__main__":
    main()
