"""Submit what a run still needs: write the scripts, call sbatch, keep `slurm/jobs.json`; or show all of that.

    kinrec submit RECIPE [--dry-run] [--from STAGE] [--sweep section.key=a,b,c] [--seeds 1,2,3] [--section.key=value]

Submitting again at any moment is safe: what has finished is skipped, and what is queued or at work is kept.
"""

import shlex
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from launch.artifacts import read_json, write_json, write_text
from launch.errors import InputError
from launch.pipeline import SUBMITTED
from launch.processes.lock import hold_lock, read_holder
from launch.slurm.live_jobs import LiveJob, cancel, have_slurm, live_jobs, slurm
from launch.slurm.planning import COMPARE, JobPlan, SbatchCall, plan_jobs
from launch.slurm.submission import Submission
from launch.stages import Stage
from launch.state.sharing import share
from launch.state.states import at_work

NO_SLURM = (
    "no SLURM here (sbatch and squeue are not found): `kinrec run` runs the stages on this machine, "
    "`kinrec submit --dry-run` shows the scripts"
)


def submit(wanted: Submission, stages: Sequence[Stage]) -> str:
    """Submit the jobs that are needed; what was done, in words."""
    if not have_slurm():
        raise InputError(NO_SLURM)
    with hold_lock(wanted.root / "slurm"):  # a second `kinrec submit` at the same time is refused
        live = live_jobs(wanted.script_paths())
        wanted.check_unchanged(live)
        _check_idle(wanted, live)
        if wanted.base is not None and not any(live.values()):
            for run_dir, recipe in zip(wanted.runs, wanted.recipes, strict=True):
                share(wanted.base, run_dir, recipe)
        plan = _plan(wanted, stages, live)
        _write_down_kept(wanted, plan)
        for run_dir in wanted.runs:
            if not (run_dir / "recipe.yaml").is_file():  # status reads it; where all is shared no job will write it
                write_text(run_dir / "recipe.yaml", wanted.recipe_files()[run_dir / SUBMITTED])
        if not plan.calls:
            return _told(wanted, plan, {})
        for path, text in wanted.recipe_files().items():
            write_text(path, text)
        if wanted.is_sweep:
            write_json(wanted.root / "slurm" / "sweep.json", {"runs": [str(path) for path in wanted.runs]})
        (wanted.root / "logs").mkdir(exist_ok=True)
        for _, job in plan.doomed:
            cancel(job)
        return _told(wanted, plan, _submit_calls(wanted, plan))


def dry_run(wanted: Submission, stages: Sequence[Stage]) -> str:
    """The scripts and the calls of sbatch that `submit` would make now; nothing is written."""
    live = live_jobs(wanted.script_paths()) if have_slurm() else {}
    wanted.check_unchanged(live)
    _check_idle(wanted, live)
    plan, texts, paths = _plan(wanted, stages, live), wanted.scripts(), wanted.script_paths()
    parts = [f"$ scancel {job.id}\n" for _, job in plan.doomed]
    for call in plan.calls:
        command = shlex.join(_sbatch(wanted, call, lambda other: f"JOB_OF_{other.job}"))
        if call.job not in [earlier.job for earlier in plan.calls[: plan.calls.index(call)]]:
            parts.append(f"==> {paths[call.job]} <==\n{texts[call.job]}")
        parts.append(f"$ {command}\n")
    return "\n".join(parts) if parts else _told(wanted, plan, {})


def _plan(wanted: Submission, stages: Sequence[Stage], live: Mapping[str, Sequence[LiveJob]]) -> JobPlan:
    names = [stage.name for stage in stages]
    return plan_jobs(names, holds=wanted.holds(sharing=not any(live.values())), live=live, table=wanted.table_holds())


def _check_idle(wanted: Submission, live: Mapping[str, Sequence[LiveJob]]) -> None:
    """InputError if a command that is no job of this run is at work in its folder: the jobs would be refused there."""
    for run_dir in wanted.runs if not any(live.values()) else ():
        if at_work(run_dir):
            raise InputError(
                f"{run_dir}: another kinrec ({read_holder(run_dir)}) is at work in this folder; wait for its end"
            )


def _submit_calls(wanted: Submission, plan: JobPlan) -> dict[SbatchCall, str]:
    """Submit in order; the ids of the jobs. What was submitted is written down before the next one is."""
    ids: dict[SbatchCall, str] = {}
    texts, paths = wanted.scripts(), wanted.script_paths()
    for call in plan.calls:
        write_text(paths[call.job], texts[call.job])
        program, *words = _sbatch(wanted, call, ids.__getitem__)
        try:
            answer = slurm(program, *words)
        except InputError as error:
            done = ", ".join(f"{other.job} {job}" for other, job in ids.items()) or "nothing"
            raise InputError(f"{call.job}: {error}; submitted before it: {done}; submitting again goes on") from error
        ids[call] = answer.strip().partition(";")[0]  # a federation adds the cluster's name
        _write_down(wanted, call, job=ids[call], after=_dependency(wanted, call, ids.__getitem__))
    return ids


def _sbatch(wanted: Submission, call: SbatchCall, id_of: Callable[[SbatchCall], str]) -> list[str]:
    """The call of sbatch for one job or array."""
    array = [f"--array={','.join(map(str, call.tasks))}"] if wanted.is_sweep and call.tasks else []
    dependency = _dependency(wanted, call, id_of)
    waits = [f"--dependency={dependency}"] if dependency else []
    return ["sbatch", "--parsable", *array, *waits, str(wanted.script_paths()[call.job])]


def _dependency(wanted: Submission, call: SbatchCall, id_of: Callable[[SbatchCall], str]) -> str | None:
    """Each task waits for its own one before it; the table for the end of all, however they end."""
    if not call.after:
        return None
    kind = "afterany" if call.job == COMPARE else "aftercorr" if wanted.is_sweep else "afterok"
    return ":".join([kind, *(before if isinstance(before, str) else id_of(before) for before in call.after)])


def _write_down(wanted: Submission, call: SbatchCall, *, job: str, after: str | None) -> None:
    for task in call.tasks if wanted.is_sweep else ():
        _append(wanted, wanted.runs[task], call.job, f"{job}_{task}", f"{after}_{task}" if after else None)
    if call.job == COMPARE or not wanted.is_sweep:
        _append(wanted, wanted.root, call.job, job, after)


def _write_down_kept(wanted: Submission, plan: JobPlan) -> None:
    """Jobs that somebody submitted by hand, or that a killed `kinrec submit` did not come to write down."""
    for stage, job in plan.kept:
        folder = wanted.root if job.task is None else wanted.runs[job.task]
        if all(entry["job"] != job.id for entry in read_jobs(folder)):
            _append(wanted, folder, stage, job.id, None)


def _append(wanted: Submission, folder: Path, stage: str, job: str, after: str | None) -> None:
    script = str(wanted.script_paths()[stage])
    entry = {"stage": stage, "job": job, "script": script, "after": after, "submitted": time.time()}
    write_json(folder / "slurm" / "jobs.json", [*read_jobs(folder), entry])


def read_jobs(run_dir: Path) -> list[dict[str, Any]]:  # Any: plain JSON values
    """Every job that was submitted for a run, the first one first; of a damaged file nothing."""
    try:
        entries = read_json(run_dir / "slurm" / "jobs.json")
    except (OSError, ValueError):
        return []
    return [entry for entry in entries if isinstance(entry, dict) and {"stage", "job"} <= set(entry)]


def _told(wanted: Submission, plan: JobPlan, ids: Mapping[SbatchCall, str]) -> str:
    """One line a job that was submitted, or that is there."""
    kept = Counter((job, live.job, live.state.lower()) for job, live in plan.kept)
    lines = [
        f"{job:<9} job {number} is {state}, kept{f' ({count} runs)' if wanted.is_sweep and job != COMPARE else ''}"
        for (job, number, state), count in kept.items()
    ]
    lines += [f"{job:<9} job {live.id} waited for what has failed: cancelled" for job, live in plan.doomed]
    for call, job in ids.items():
        tasks = f", {len(call.tasks)} runs" if wanted.is_sweep and call.tasks else ""
        after = _dependency(wanted, call, ids.__getitem__)
        lines.append(f"{call.job:<9} job {job}{tasks}{f', {after}' if after else ''}")
    if not lines:
        lines = ["all stages hold: nothing to submit"]
    return "\n".join([str(wanted.root), *(f"  {line}" for line in lines)]) + "\n"
