"""Which jobs a run, or a sweep of runs, still needs: one for each stage that does not hold and is not queued.

Stages follow one another, so each job waits for the one before it, task by task in an array. A job that is queued
already is kept; one that waits for a job that has failed would never do its work: it is cancelled, and asked for anew.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from launch.errors import InputError
from launch.slurm.live_jobs import LiveJob

COMPARE = "compare"


@dataclass(frozen=True, eq=False)
class SbatchCall:
    """One call of sbatch."""

    job: str
    """The stage, or `compare`."""
    tasks: tuple[int, ...]
    """The runs that it does the stage for, by number."""
    after: "tuple[SbatchCall | str, ...]" = ()
    """Jobs, planned or queued, that it waits for."""


@dataclass
class JobPlan:
    """What is to be done, and what is left as it is."""

    calls: list[SbatchCall] = field(default_factory=list)
    kept: list[tuple[str, LiveJob]] = field(default_factory=list)
    doomed: list[tuple[str, LiveJob]] = field(default_factory=list)
    holding: list[tuple[str, int]] = field(default_factory=list)
    """Stages that hold, by the number of the run."""


def plan_jobs(
    stages: Sequence[str],
    *,
    holds: Sequence[Mapping[str, bool]],
    live: Mapping[str, Sequence[LiveJob]],
    table: bool | None = None,
) -> JobPlan:
    """The jobs that are needed.

    Args:
        holds: of each run, whether a stage has finished and still holds.
        live: queued and running jobs by stage; a job that is no array does its stage for run 0.
        table: whether the sweep's table holds; None where there is none to make.
    """
    plan = JobPlan()
    last: dict[int, SbatchCall | str] = {}  # run -> the job that its next stage waits for
    for stage in stages:
        at_work = {job.task or 0: job for job in live.get(stage, ())}
        groups: dict[SbatchCall | str | None, list[int]] = {}
        for run, held in enumerate(holds):
            job, before = at_work.get(run), last.get(run)
            if job is not None and not isinstance(before, SbatchCall):
                plan.kept.append((stage, job))
                last[run] = job.job
            elif held[stage]:
                plan.holding.append((stage, run))
            else:
                if job is not None:
                    plan.doomed.append((stage, job))
                groups.setdefault(before, []).append(run)
        for waits_for, runs in groups.items():
            call = SbatchCall(stage, tuple(runs), () if waits_for is None else (waits_for,))
            plan.calls.append(call)
            last |= dict.fromkeys(runs, call)
    if table is not None:
        _plan_table(plan, last, live.get(COMPARE, ()), table)
    for stage, job in plan.doomed:
        if not job.waits:
            raise InputError(
                f"job {job.id} ({stage}) is {job.state.lower()} though what it reads is not finished and nothing makes "
                f"it; wait for its end or `scancel {job.id}`, then submit again"
            )
    return plan


def _plan_table(plan: JobPlan, last: Mapping[int, SbatchCall | str], live: Sequence[LiveJob], holds: bool) -> None:
    """The table is made last, of whatever has finished by then."""
    waits_for = tuple(dict.fromkeys(last[run] for run in sorted(last)))
    if any(isinstance(before, SbatchCall) for before in waits_for):
        plan.doomed += [(COMPARE, job) for job in live]
    elif live:
        plan.kept += [(COMPARE, job) for job in live]
        return
    if waits_for or not holds:
        plan.calls.append(SbatchCall(COMPARE, (), waits_for))
