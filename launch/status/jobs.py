"""The SLURM jobs of a run: `slurm/jobs.json`, and what squeue still knows of them; no accounting is needed.

A busy controller has 10 s to answer, under `--watch` too: a late picture is better than one that says at every second
turn that SLURM cannot be asked.
"""

import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from launch.artifacts import read_json
from launch.stages import STAGES
from launch.state.history import read_history
from launch.state.states import State

SECONDS = 10.0
"""For an answer of squeue: it hangs where the controller is gone, and is slow where it is busy."""
JOB = re.compile(r"\d{1,18}(_\d{1,9})?", flags=re.ASCII)
FORMAT = "%i|%T|%r|%N|%S"
BROKEN = {"FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY", "BOOT_FAIL", "DEADLINE"}


@dataclass(frozen=True)
class Submitted:
    """The last job of a stage."""

    stage: str
    job: str
    after: tuple[str, ...]
    """Jobs that it waits for."""


@dataclass(frozen=True)
class QueuedJob:
    """What squeue says of a job."""

    state: str
    reason: str
    nodes: str
    start: str


def job_lines(run_dir: Path, states: Mapping[str, State]) -> list[str]:
    """A line for every job of a stage that has not finished."""
    jobs = read_submitted(run_dir)
    wanted = {stage: job for stage, job in jobs.items() if stage not in states or not states[stage].holds}
    if not wanted:
        return []
    told = ask([job.job for job in jobs.values()])
    by_id = {job.job: job for job in jobs.values()}
    lines = []
    for stage, job in wanted.items():
        said = None if told is None else told.get(job.job)
        if told is None:
            words = "submitted; SLURM cannot be asked from here"
        elif said is None:
            words = f"no longer known to SLURM{_why(run_dir, stage)}"
        else:
            words = _words(said) + (_why_broken(run_dir, job, by_id, told, states) if said.state != "RUNNING" else "")
        lines.append(f"{stage:<9} job {job.job}: {words}")
    return lines


def read_submitted(run_dir: Path) -> dict[str, Submitted]:
    """The last job of every stage; what is no such entry is left out."""
    try:
        entries = read_json(run_dir / "slurm" / "jobs.json")
    except (OSError, ValueError, RecursionError):
        return {}
    jobs = {}
    for entry in entries if isinstance(entries, list) else []:
        if isinstance(entry, dict) and JOB.fullmatch(str(entry.get("job"))):
            stage, after = str(entry.get("stage")), entry.get("after")
            waits = tuple(match[0] for match in JOB.finditer(after)) if isinstance(after, str) else ()
            jobs[stage] = Submitted(stage, str(entry["job"]), waits)
    return jobs


def ask(ids: Sequence[str]) -> dict[str, QueuedJob] | None:
    """What squeue says of each job, those that ended some minutes ago included; None where it does not answer."""
    if shutil.which("squeue") is None:
        return None
    words = ["squeue", "--noheader", "--array", "--states=all", f"--jobs={','.join(ids)}", f"--format={FORMAT}"]
    try:
        ended = subprocess.run(words, capture_output=True, text=True, timeout=SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    if ended.returncode != 0:  # of a single job that is no longer known
        return {} if "Invalid job id" in ended.stderr else None
    told = {}
    for line in ended.stdout.splitlines():
        parts = line.split("|", 4)
        if len(parts) == 5:
            told[parts[0].strip()] = QueuedJob(*(part.strip() for part in parts[1:]))
    return told


def _words(said: QueuedJob) -> str:
    words = said.state.lower().replace("_", " ")
    if said.state == "PENDING":
        words += f" ({said.reason})" if said.reason not in {"", "None"} else ""
        words += f", expected to start {said.start}" if said.start not in {"", "N/A"} else ""
    elif said.nodes:
        words += f" on {said.nodes}"
    return words


def _why_broken(
    run_dir: Path,
    job: Submitted,
    by_id: Mapping[str, Submitted],
    told: Mapping[str, QueuedJob],
    states: Mapping[str, State],
) -> str:
    """Why a job will never run: what it waits for has failed, directly or further up."""
    said = told[job.job]
    if said.state == "PENDING" and said.reason != "DependencyNeverSatisfied":
        return ""
    for before in job.after:
        earlier = by_id.get(before)
        if earlier is None or (earlier.stage in states and states[earlier.stage].holds):
            continue
        state = told[before].state if before in told else "gone"
        if state in BROKEN or state == "gone":
            known = before in told
            deeper = _why_broken(run_dir, earlier, by_id, told, states) if known else _why(run_dir, earlier.stage)
            return f": it waits for {earlier.stage} (job {before}), which is {state.lower()}{deeper}"
    return _why(run_dir, job.stage) if said.state in BROKEN else ""


def _why(run_dir: Path, name: str) -> str:
    """How the last start of a stage ended, in its own words."""
    for stage in STAGES:
        if stage.name == name:
            ends = [line for line in read_history(run_dir, stage) if line["event"] in {"failed", "stopped"}]
            if ends and ends[-1].get("why"):
                return f": {ends[-1]['why']}"
    return ""
