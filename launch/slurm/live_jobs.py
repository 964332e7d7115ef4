"""Which jobs of a run are queued or at work, as squeue tells it; no accounting is needed.

A job belongs to a run by the script that it was submitted with: that also finds one that was submitted by hand, or
just before `kinrec submit` was killed. Ids alone would not do: a cluster may count anew.
"""

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from launch.errors import InputError, first_line

FORMAT = "%F|%K|%T|%r|%o"
WAITING = "PENDING"


@dataclass(frozen=True)
class LiveJob:
    """A job, or one task of an array, that has not ended."""

    job: str
    """Its id, of an array that of all its tasks together."""
    task: int | None
    state: str
    reason: str

    @property
    def id(self) -> str:
        """What scancel and scontrol know it by."""
        return self.job if self.task is None else f"{self.job}_{self.task}"

    @property
    def waits(self) -> bool:
        """It has not begun."""
        return self.state == WAITING


def have_slurm() -> bool:
    """Whether this machine can submit jobs."""
    return shutil.which("sbatch") is not None and shutil.which("squeue") is not None


def live_jobs(scripts: Mapping[str, Path]) -> dict[str, list[LiveJob]]:
    """The user's live jobs by the name of the script, of `scripts`, that they run."""
    listed = slurm("squeue", "--noheader", "--array", f"--user={os.getuid()}", f"--format={FORMAT}")
    files, names = (
        {path.name for path in scripts.values()},
        {os.path.realpath(path): job for job, path in scripts.items()},
    )
    live: dict[str, list[LiveJob]] = {}
    for line in listed.splitlines():
        job, task, state, reason, command = line.split("|", 4)
        name = names.get(os.path.realpath(command)) if os.path.basename(command) in files else None
        if name is not None:
            number = int(task) if task.isdecimal() else None
            live.setdefault(name, []).append(LiveJob(job, number, state, reason))
    return live


def slurm(program: str, *words: str) -> str:
    """What one of SLURM's programs prints. InputError with its own words where it fails."""
    ended = subprocess.run([program, *words], capture_output=True, text=True, env=outside_jobs(), check=False)
    if ended.returncode != 0:
        raise InputError(f"{program} failed: {first_line(ValueError(ended.stderr)) or ended.returncode}")
    return ended.stdout


def cancel(job: LiveJob) -> None:
    """Cancel a job that waits; one that is gone by itself is as good."""
    subprocess.run(["scancel", job.id], capture_output=True, env=outside_jobs(), check=False)


def outside_jobs() -> dict[str, str]:
    """The environment without what describes a job that we may be in: sbatch would take it for its options."""
    return {name: value for name, value in os.environ.items() if not name.startswith("SLURM_") or name == "SLURM_CONF"}
