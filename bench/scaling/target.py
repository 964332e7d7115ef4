"""What stages would take at a size that nobody has run, from the slopes that were measured; and what that assumes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from bench.scaling.runs import STAGES, STEP, SizedRun

BATCH = 64
"""Samples of a measured training step."""
ALONE = ("prepare", "tokenize")
"""Stages of one process; the others are shared out over ranks."""
LEFT_OUT = ("finetune", "generate", "recommend")
"""Stages that are bounded here whatever the size."""
ASSUMPTIONS = (
    "CPU seconds and peak memory grow with the users as a power, the one between the smallest and the largest size"
    " run here, however far the target lies beyond them",
    "the catalogue grows with the users, and histories and popularity are those of the synthetic pair",
    "a rank is as fast as one core of this machine: nothing is gained by a GPU, nothing lost to a slower core",
    "ranks share a stage evenly, and what they tell each other takes no time",
    "--train-lists, a number, is the same at all sizes that were run, and what is carried on is what they took",
    "prepare and tokenize run in one process with one worker",
    "pretrain is one epoch of steps as measured plus what the bounded run took beside its steps, which ranks, exports"
    " and starts up",
    "a rank's memory is that of the one process that ran here: what ranks share out is not divided",
    "disks keep up",
)


@dataclass(frozen=True)
class Estimate:
    """One stage at the target."""

    stage: str
    hours: float
    """Of all ranks together, from the start to the end."""
    slope: float
    """In users, of CPU seconds."""
    peak_gib: float
    """Of one rank."""
    ranks: int


def estimates(runs: Sequence[SizedRun], *, users: int, ranks: int) -> list[Estimate]:
    """For every stage that has been run at two sizes or more."""
    told = []
    for stage in STAGES:
        there = [run for run in runs if stage.name in run.costs]
        if len(there) < 2 or stage.name in LEFT_OUT:
            continue
        of_stage = 1 if stage.name in ALONE else ranks
        low, high = (_cpu_seconds(run, stage.name) for run in (there[0], there[-1]))
        sizes = [run.sizes.users for run in (there[0], there[-1])]
        peaks = [run.costs[stage.name].peak_gib for run in (there[0], there[-1])]
        seconds, slope = _continued(sizes, [low, high], users)
        told.append(
            Estimate(stage.name, seconds / of_stage / 3600, slope, _continued(sizes, peaks, users)[0], of_stage)
        )
    return told


def render_target(told: Sequence[Estimate], *, users: int) -> str:
    """A table for people, and the assumptions."""
    lines = [f"{users:,} users, estimated:", f"{'':<12}{'ranks':>8}{'hours':>12}{'GiB a rank':>12}{'slope':>8}"]
    lines += [f"{e.stage:<12}{e.ranks:>8}{e.hours:>12.2f}{e.peak_gib:>12.1f}{e.slope:>8.2f}" for e in told]
    return "\n".join([*lines, "This assumes that", *(f"- {assumption}" for assumption in ASSUMPTIONS)])


def _cpu_seconds(run: SizedRun, name: str) -> float:
    """Of a whole stage: of pretrain the bounded run is known, and what a step takes."""
    seconds = run.costs[name].cpu_seconds
    if name == "pretrain" and STEP in run.costs:
        seconds += run.costs[STEP].cpu_seconds * run.sizes.train / BATCH
    return seconds


def _continued(sizes: Sequence[int], values: Sequence[float], target: int) -> tuple[float, float]:
    """(the value at the target, the power) of a power law through two points."""
    slope = math.log(max(values[1], 1e-9) / max(values[0], 1e-9)) / math.log(sizes[1] / sizes[0])
    return values[1] * (target / sizes[1]) ** slope, slope
