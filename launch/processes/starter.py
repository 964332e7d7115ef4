"""Start one stage as a process: python, torchrun or accelerate launch, its output in `logs/STAGE.log`.

All that is started begins with `launch.processes.begin`, which ties it to this command before it imports the rest.
"""

import logging
import os
import signal
import site
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from launch.config import LaunchConfig
from launch.errors import InputError
from launch.processes.lock import LOCK
from launch.processes.lock import NAME as LOCK_NAME
from launch.processes.orphans import COMMAND, PARENT, own_identity
from launch.processes.relay import relay
from launch.processes.temporary import temporary_folder
from launch.progress import TERMINAL
from launch.stage import ERROR_FILE
from launch.stages import Stage

log = logging.getLogger(__name__)
ROOT = Path(__file__).resolve().parents[2]
"""The folder that our packages lie in: site-packages, or a checkout."""
DS_CONFIGS = ROOT / "ds_configs"
BEGIN = "launch.processes.begin"


class StageError(Exception):
    """A stage ended with a fault of ours; its log says which."""


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


def stage_command(stage: Stage, *, recipe: Path, run_dir: Path, launch: LaunchConfig) -> list[str]:
    """The command that starts `stage`."""
    given = resources(launch)
    arguments = ["--config", str(recipe), "--run_dir", str(run_dir)]
    if stage.starter == "python":
        return begin(stage.module, arguments)
    count = str(given.processes)
    ranks = ["-m", BEGIN, stage.module, *arguments]
    if stage.starter == "torchrun":
        return begin("torch.distributed.run", ["--standalone", "--nproc-per-node", count, *ranks])
    file = accelerate_file(launch, gpus=given.gpus)
    accelerate = ["launch", "--config_file", str(file), "--num_processes", count]
    return begin("accelerate.commands.accelerate_cli", [*accelerate, *ranks])


def begin(module: str, words: Sequence[str]) -> list[str]:
    """The command that runs `module` as a process of this one; it needs `tied_environment`."""
    return [sys.executable, "-P", "-m", BEGIN, module, *words]  # -P: folders where the user stands shadow nothing


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


def start_module(module: str, words: Sequence[str]) -> int:
    """Run a module that belongs to no run as a process of this one; its exit status."""
    environment = {key: value for key, value in tied_environment().items() if key not in {LOCK, ERROR_FILE}}
    return subprocess.run(begin(module, words), env=environment, check=False).returncode


def accelerate_file(launch: LaunchConfig, *, gpus: int) -> Path:
    """The Accelerate file of a recipe: a path, or a name in ds_configs/."""
    name = launch.accelerate or ("accelerate_gpu" if gpus else "accelerate_cpu")
    path = Path(name) if name.endswith((".yaml", ".yml")) else DS_CONFIGS / f"{name}.yaml"
    if not path.is_file():
        raise InputError(f"launch.accelerate: no such file {path}")
    return path


def start_stage(stage: Stage, *, recipe: Path, run_dir: Path, launch: LaunchConfig) -> None:
    """Run `stage` to its end. InputError with its own line where the user erred, StageError elsewhere."""
    command = stage_command(stage, recipe=recipe, run_dir=run_dir, launch=launch)
    log_path = run_dir / "logs" / f"{stage.name}.log"
    with temporary_folder(run_dir) as (folder, short_name):
        error_file = folder / "error"
        environment = {
            **tied_environment(first=stage.starter == "accelerate"),  # accelerate appends the folder the user stands in
            "OMP_NUM_THREADS": str(resources(launch).threads),
            "PYTHONUNBUFFERED": "1",
            "TOKENIZERS_PARALLELISM": "false",
            "HF_HUB_OFFLINE": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            **({} if count_gpus() else {"DS_ACCELERATOR": "cpu"}),  # DeepSpeed need not guess, nor say so
            "TMPDIR": short_name,
            LOCK: str(run_dir.resolve() / LOCK_NAME),
            ERROR_FILE: str(error_file),
            TERMINAL: "1" if sys.stderr.isatty() else "0",
        }
        with _open_log(log_path) as kept:
            kept.write(f"\n$ {' '.join(command)}\n".encode())
            kept.flush()
            status, shown = relay(command, environment, kept, command=own_identity())
        if status == 0:
            return
        if error_file.is_file():
            raise InputError(error_file.read_text(encoding="utf-8"))
        if shown is not None:  # the disk is full: the line had no other way
            raise InputError(shown)
    if status < 0:
        raise StageError(f"{stage.name} was ended by {signal.Signals(-status).name}; see {log_path}")
    raise StageError(f"{stage.name} failed with status {status}; its traceback is above and in {log_path}")


def _open_log(path: Path) -> BinaryIO:
    """A plain file of the run's own to append to: a link could lead out of the run, a FIFO would wait for a reader."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(
            path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o644
        )
    except OSError as error:
        raise InputError(f"{path}: cannot open the log: {error.strerror}; move what is there away") from error
    return os.fdopen(file, "ab")
