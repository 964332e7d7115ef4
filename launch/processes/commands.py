"""The words that start a stage on a machine: python, torchrun or accelerate launch, alone or as one of several nodes.

All that is started begins with `launch.processes.begin`, which ties it to who started it before it imports the rest.
"""

import os
import site
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from launch.config import LaunchConfig
from launch.errors import InputError
from launch.processes.orphans import COMMAND, PARENT, own_identity
from launch.processes.pages import page_environment
from launch.stages import Stage

ROOT = Path(__file__).resolve().parents[2]
"""The folder that our packages lie in: site-packages, or a checkout."""
DS_CONFIGS = ROOT / "ds_configs"
BEGIN = "launch.processes.begin"
GLOO_INTERFACE = "GLOO_SOCKET_IFNAME"
INTERFACES = (GLOO_INTERFACE, "NCCL_SOCKET_IFNAME")


@dataclass(frozen=True)
class Place:
    """One node of several, and where its ranks meet those of the others."""

    nodes: int
    node_rank: int
    master: str
    port: int


@dataclass(frozen=True)
class Resources:
    """What one stage gets on this machine."""

    processes: int
    threads: int
    gpus: int


def resources(config: LaunchConfig) -> Resources:
    """The recipe's process counts, or what this machine suggests."""
    gpus = count_gpus()
    processes = config.processes or max(1, gpus)
    cores = len(os.sched_getaffinity(0))
    return Resources(processes=processes, threads=config.threads or max(1, cores // processes), gpus=gpus)


def count_gpus() -> int:
    """GPUs that this process may use, without importing torch."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return len([device for device in visible.split(",") if device.strip() not in {"", "-1"}])
    return len(list(Path("/dev").glob("nvidia[0-9]*")))


def stage_command(
    stage: Stage, *, recipe: Path, run_dir: Path, launch: LaunchConfig, place: Place | None = None
) -> list[str]:
    """The command that starts `stage` on this machine; `place` where it is one of several."""
    given = resources(launch)
    arguments = ["--config", str(recipe), "--run_dir", str(run_dir)]
    if stage.starter == "python":
        return begin(stage.module, arguments)
    ranks = ["-m", BEGIN, stage.module, *arguments]
    if stage.starter == "torchrun":
        meet = ["--standalone"] if place is None else _torchrun_words(place, launch)
        return begin("torch.distributed.run", [*meet, "--nproc-per-node", str(given.processes), *ranks])
    file = accelerate_file(launch, gpus=given.gpus, several=place is not None)
    meet = [] if place is None else _accelerate_words(place, launch)
    count = given.processes * (1 if place is None else place.nodes)
    words = ["--config_file", str(file), *meet, "--num_processes", str(count), *ranks]
    return begin("accelerate.commands.launch", words)  # `accelerate launch`, without what other commands import


def _torchrun_words(place: Place, launch: LaunchConfig) -> list[str]:
    where = ["--master-addr", place.master, "--master-port", str(place.port)]
    wait = ["--rdzv-backend", "static", "--rdzv-conf", f"timeout={int(launch.start_timeout)}"]
    return ["--nnodes", str(place.nodes), "--node-rank", str(place.node_rank), *where, *wait]


def _accelerate_words(place: Place, launch: LaunchConfig) -> list[str]:
    machines = ["--num_machines", str(place.nodes), "--machine_rank", str(place.node_rank)]
    where = ["--main_process_ip", place.master, "--main_process_port", str(place.port)]
    wait = ["--rdzv_backend", "static", "--rdzv_conf", f"timeout={int(launch.start_timeout)}"]
    return [*machines, *where, *wait, "--deepspeed_multinode_launcher", "standard"]  # the default, pdsh, wants ssh


def begin(module: str, words: Sequence[str]) -> list[str]:
    """The command that runs `module` as a process of this one; it needs `tied_environment`."""
    return module_words(BEGIN, [module, *words])


def module_words(module: str, words: Sequence[str]) -> list[str]:
    """The command that runs `module` by this very Python."""
    return [sys.executable, "-P", "-m", module, *words]  # -P: folders where the user stands shadow nothing


def tied_environment(*, first: bool = False) -> dict[str, str]:
    """An environment whose processes run this very code, wherever the user stands, and end when this one ends.

    With `first` our folder leads the path, even where Python would find it anyway.
    """
    me = str(own_identity())
    given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    known = {*given, *site.getsitepackages(), site.getusersitepackages()}
    path = [str(ROOT)] if first or str(ROOT) not in known else []  # else: a checkout that is not installed
    return {
        **os.environ,
        "PYTHONSAFEPATH": "1",
        "PYTHONPATH": os.pathsep.join([*path, *filter(None, given)]),
        COMMAND: me,
        PARENT: me,
    }


def machine_environment(stage: Stage, launch: LaunchConfig) -> dict[str, str]:
    """What a stage's ranks on this machine have to know of it."""
    given = resources(launch)
    return {
        "OMP_NUM_THREADS": str(given.threads),
        **({} if given.gpus else {"DS_ACCELERATOR": "cpu"}),  # DeepSpeed need not guess, nor say so
        **page_environment(stage, gpus=given.gpus),
        **(dict.fromkeys(INTERFACES, launch.interface) if launch.interface else {}),
    }


def accelerate_file(launch: LaunchConfig, *, gpus: int, several: bool = False) -> Path:
    """The Accelerate file of a recipe: a path, or a name in ds_configs/.

    Args:
        several: the stage starts on more than one node.
    """
    usual = "accelerate_multinode" if several else "accelerate_gpu" if gpus else "accelerate_cpu"
    name = launch.accelerate or usual
    path = Path(name) if name.endswith((".yaml", ".yml")) else DS_CONFIGS / f"{name}.yaml"
    if not path.is_file():
        raise InputError(f"launch.accelerate: no such file {path}")
    return path
