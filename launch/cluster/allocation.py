"""The SLURM allocation that this process is in: its nodes in SLURM's order, and the address of each.

Node names need not resolve, so addresses are what SLURM itself uses (`scontrol show node`).
"""

import logging
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass

from launch.errors import InputError, first_line
from launch.ranks import has_launcher

JOB = "SLURM_JOB_ID"
RESTART = "SLURM_RESTART_COUNT"
NODES = "SLURM_JOB_NODELIST"
STEP_TASKS = "SLURM_STEP_NUM_TASKS"
PROGRAMS = ("srun", "scontrol")
log = logging.getLogger(__name__)
SECONDS = 60.0
"""How long a busy controller may take to answer."""


@dataclass(frozen=True)
class Node:
    """One machine."""

    name: str
    address: str


@dataclass(frozen=True)
class Allocation:
    """The job that we run in, and its nodes; the first is where ranks meet."""

    job: str
    nodes: tuple[Node, ...]
    gpus: int = 0
    """GPUs that the job has on each node; where they differ, on the one with the fewest."""


def job_id() -> str | None:
    """The SLURM job that this process belongs to, if it belongs to one."""
    return os.environ.get(JOB) or None


def restarts() -> int:
    """How often SLURM has started this job again."""
    given = os.environ.get(RESTART, "")
    return int(given) if given.isdecimal() else 0


def read_allocation() -> Allocation | None:
    """The allocation around this process; None outside one, or where SLURM's programs are not at hand (a container)."""
    job, names = job_id(), os.environ.get(NODES)
    if job is None or not names or any(shutil.which(program) is None for program in PROGRAMS):
        return None
    ordered = _scontrol("show", "hostnames", names).split()
    addresses = node_addresses(_scontrol("--oneliner", "show", "node", names))
    gpus = job_gpus(_scontrol("--details", "--oneliner", "show", "job", job))
    if len(set(gpus)) > 1:
        log.warning(
            "SLURM job %s has from %d to %d GPUs on its nodes; on each %d are used",
            job,
            min(gpus),
            max(gpus),
            min(gpus),
        )
    return Allocation(job, tuple(Node(name, addresses.get(name, name)) for name in ordered), min(gpus, default=0))


def node_addresses(told: str) -> dict[str, str]:
    """Name -> address, from what `scontrol --oneliner show node` says."""
    addresses = {}
    for line in told.splitlines():
        name, address = (re.search(rf"(?:^|\s){key}=(\S+)", line) for key in ("NodeName", "NodeAddr"))
        if name is not None and address is not None:
            addresses[name[1]] = address[1]
    return addresses


def job_gpus(told: str) -> list[int]:
    """GPUs on each group of like nodes, from what `scontrol --details --oneliner show job` says."""
    groups = re.findall(r"(?<!\S)GRES=(\S*)", told)
    return [sum(int(count) for count in re.findall(r"\bgpu:(?:[^:(),]+:)?(\d+)", group)) for group in groups]


def count_nodes(asked: int | None, allocation: Allocation | None) -> int:
    """How many nodes a stage with ranks gets of those that are there. InputError where more are asked for.

    Args:
        asked: launch.nodes.
    """
    cure = f"salloc --nodes={asked} kinrec run RECIPE, or kinrec submit RECIPE"
    if allocation is None:
        if (asked or 1) > 1:
            raise InputError(f"launch.nodes is {asked}, but this is not inside a SLURM job: {cure}")
        return 1
    there = len(allocation.nodes)
    if asked is not None and asked > there:
        raise InputError(f"launch.nodes is {asked}, but SLURM job {allocation.job} has {there}: {cure}")
    return asked or there


def refuse_lone_tasks() -> None:
    """InputError in one of several tasks that `srun` started with no launcher between: each would be a rank 0."""
    tasks = os.environ.get(STEP_TASKS, "1")
    if tasks != "1" and not has_launcher() and not sys.stdin.isatty():  # `srun --pty bash`, and us typed into it
        raise InputError(
            f"srun started this as {tasks} separate tasks, which know nothing of one another: start it once, by "
            "`kinrec run RECIPE` inside the allocation, or by one torchrun a node"
        )


def _scontrol(*words: str) -> str:
    try:
        ended = subprocess.run(["scontrol", *words], capture_output=True, text=True, timeout=SECONDS, check=True)
    except subprocess.CalledProcessError as error:
        raise InputError(f"scontrol {' '.join(words)}: {error.stderr.strip() or error}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InputError(f"scontrol {' '.join(words)}: {first_line(error)}; is the controller there?") from error
    return ended.stdout
