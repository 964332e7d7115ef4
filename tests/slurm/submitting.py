"""`kinrec submit` as tests call it, and what became of its jobs."""

import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from launch.artifacts import read_json
from launch.stages import STAGES
from tests.end_to_end.runs import kinrec
from tests.slurm.cluster import Cluster, Job

SMALL = Path(__file__).parent / "small.yaml"
HOLD = "--slurm.raw=[--hold]"
"""Jobs that are queued and never begin."""
NAMES = [stage.name for stage in STAGES]


class Whole(NamedTuple):
    """A run of small.yaml on two nodes, one rank on each, that was submitted and has ended."""

    run_dir: Path
    dry: str
    """What --dry-run had shown before."""


def submit_whole(slurm: Cluster, run_dir: Path) -> Whole:
    """Submit small.yaml and wait until every stage has finished."""
    dry = submit(slurm, run_dir, "--dry-run")
    assert dry.returncode == 0, dry.stderr
    assert not run_dir.exists()
    ended = submit(slurm, run_dir)
    assert ended.returncode == 0, ended.stderr
    for stage, job in wait_for_all(slurm, run_dir).items():
        assert job["JobState"] == "COMPLETED", f"{stage}: {slurm.output(job)}"
    return Whole(run_dir, dry.stdout)


def submit(
    slurm: Cluster, run_dir: Path, *words: str, recipe: Path = SMALL, sweep: bool = False
) -> subprocess.CompletedProcess[str]:
    """Submit to the end of the command; its jobs go when the tests end."""
    ended = kinrec("submit", str(recipe), f"--run_dir={run_dir}", *words)
    root = run_dir.with_name(f"{run_dir.name}-sweep") if sweep else run_dir
    for folder in (root, *root.glob("*-*")):
        for entry in jobs_of(folder):
            slurm.watch(entry["job"])
    return ended


def jobs_of(run_dir: Path) -> list[dict[str, Any]]:
    """The entries of `slurm/jobs.json`."""
    path = run_dir / "slurm" / "jobs.json"
    entries: list[dict[str, Any]] = read_json(path) if path.is_file() else []
    return entries


def last_jobs(run_dir: Path) -> dict[str, str]:
    """The last job of each stage."""
    return {entry["stage"]: entry["job"] for entry in jobs_of(run_dir)}


def wait_for_all(slurm: Cluster, run_dir: Path, timeout: float = 600) -> dict[str, Job]:
    """The run's last job of every stage, when all are over."""
    return {stage: slurm.wait(job, timeout=timeout) for stage, job in last_jobs(run_dir).items()}


def queued(run_dir: Path) -> list[str]:
    """The ids of what SLURM has queued or running of a run, array tasks one by one."""
    listed = subprocess.run(
        ["squeue", "--noheader", "--array", "--format=%F_%K|%o"], capture_output=True, text=True, check=True
    ).stdout
    ids = [line.split("|", 1) for line in listed.splitlines()]
    return sorted(job.removesuffix("_N/A") for job, script in ids if script.startswith(f"{run_dir}/"))


def part_of_a_run(source: Path, goal: Path, stages: Sequence[str]) -> Path:
    """A run in which only `stages` have finished."""
    shutil.copytree(source, goal, ignore=shutil.ignore_patterns("slurm", "logs", "lock"))
    for name in NAMES:
        if name not in stages:
            (goal / "manifests" / f"{name}.json").unlink()
    return goal


def shown_scripts(dry: str) -> tuple[dict[Path, str], list[str]]:
    """The scripts that a dry run shows, by their paths, and its calls of sbatch."""
    scripts: dict[Path, str] = {}
    calls: list[str] = []
    for part in re.split(r"\n(?=\$ |==> )", dry):
        if part.startswith("$ "):
            calls.append(part.removeprefix("$ ").strip())
        else:
            head, _, text = part.partition("\n")
            scripts[Path(head.removeprefix("==> ").removesuffix(" <=="))] = text
    return scripts, calls
