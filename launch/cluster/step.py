"""The words of `srun` that start one task on each node of a stage, with all that the job has there."""

import os
import shlex
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from random import SystemRandom

from launch.cluster.allocation import SECONDS, Allocation

FIRST_PORT, LAST_PORT = 12_000, 32_000
"""Below those that Linux hands out by itself."""
WAIT_SECONDS = 600
"""How long the tasks of other nodes may go on after the first has ended well; a site's own value may be too short."""
CANCEL_SECONDS = 10.0
SHAPES = (
    "SLURM_CPU_BIND", "SLURM_CPU_FREQ_REQ", "SLURM_CPUS_PER_GPU", "SLURM_CPUS_PER_TASK", "SRUN_CPUS_PER_TASK",
    "SLURM_DISTRIBUTION", "SLURM_EXACT", "SLURM_EXCLUSIVE", "SLURM_EXPORT_ENV", "SLURM_GPU_BIND", "SLURM_GPUS",
    "SLURM_GPUS_PER_NODE", "SLURM_GPUS_PER_SOCKET", "SLURM_GPUS_PER_TASK", "SLURM_GRES", "SLURM_HINT",
    "SLURM_HOSTFILE", "SLURM_LABELIO", "SLURM_MEM_BIND", "SLURM_MEM_PER_CPU", "SLURM_MEM_PER_GPU",
    "SLURM_MEM_PER_NODE", "SLURM_NPROCS", "SLURM_NTASKS", "SLURM_NTASKS_PER_CORE", "SLURM_NTASKS_PER_GPU",
    "SLURM_NTASKS_PER_NODE", "SLURM_NTASKS_PER_SOCKET", "SLURM_NTASKS_PER_TRES", "SLURM_OPEN_MODE",
    "SLURM_OVERCOMMIT", "SLURM_STEP_GRES", "SLURM_THREADS_PER_CORE", "SLURM_TRES_BIND", "SLURM_TRES_PER_TASK",
    "SLURM_UNBUFFEREDIO",
)  # fmt: skip
"""How the batch script asked for its tasks. srun would cut the step to that: one GPU where a task was to have one."""
CONTAINER = "KINREC_CONTAINER"
"""The variable by which a batch script tells the command what to start the processes of each node in: a command that
takes another one (apptainer exec --nv kinrec.sif), or options of srun (--container-image=kinrec.sqsh)."""
BIRTH = 'trap "" USR1 TERM; unset {}; exec "$@"'
"""Both signals ask ranks to save: a task that is just being born must not die of them."""


def step_words(
    allocation: Allocation, *, nodes: int, name: str, unset: Sequence[str], task: Sequence[str]
) -> list[str]:
    """`srun` of `task`, once on each of the first `nodes` nodes.

    Without a word about CPUs a step has all of its job's. GPUs have to be counted: a job that asked for them by task
    would give one task as many as it asked for. `--overlap` shares all with whatever else runs in the job, above all
    the shell that this command was typed into.

    Args:
        name: the step's name; `cancel_step` knows it by that.
        unset: variables that must not reach the tasks.
    """
    names = ",".join(node.name for node in allocation.nodes[:nodes])
    container = shlex.split(os.environ.get(CONTAINER, ""))
    options, within = (container, []) if container and container[0].startswith("-") else ([], container)
    gpus = [f"--gres=gpu:{allocation.gpus}"] if allocation.gpus else []
    return [
        "srun", "--quiet", f"--job-name={name}", f"--nodes={nodes}", f"--ntasks={nodes}", "--ntasks-per-node=1",
        f"--nodelist={names}", "--overlap", "--mem=0", "--cpu-bind=none", "--mpi=none", "--input=none",
        "--kill-on-bad-exit=1", f"--wait={WAIT_SECONDS}", "--export=ALL", *gpus, *options,
        "sh", "-c", BIRTH.format(" ".join(unset)), "sh", *within, *task,
    ]  # fmt: skip


def step_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """`environment` for `srun`, without what shapes the tasks of other steps."""
    return {key: value for key, value in environment.items() if key not in SHAPES}


def pick_port() -> int:
    """A port that is free here; on the first node, where it is needed, `port_is_free` has the last word."""
    while True:
        port = SystemRandom().randint(FIRST_PORT, LAST_PORT)
        if port_is_free(port):
            return port


def port_is_free(port: int) -> bool:
    """Whether this machine lets us listen at `port`."""
    with socket.socket() as opened:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the one who will listen does
        try:
            opened.bind(("", port))
        except OSError:
            return False
    return True


def cancel_step(job: str, name: str) -> None:
    """End the steps of `job` called `name`, if its srun could not; returns when they are gone, or after a while."""
    deadline = time.monotonic() + CANCEL_SECONDS
    while (left := _steps(job, name)) and time.monotonic() < deadline:
        subprocess.run(["scancel", "--signal=KILL", *left], capture_output=True, timeout=SECONDS, check=False)
        time.sleep(0.2)


def _steps(job: str, name: str) -> list[str]:
    words = ["squeue", "--noheader", "--steps", f"--jobs={job}", "--Format=StepID:40,StepName:100"]
    try:
        told = subprocess.run(words, capture_output=True, text=True, timeout=SECONDS, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [fields[0] for fields in map(str.split, told.splitlines()) if fields[1:] == [name]]
