"""Start one stage, its output in `logs/STAGE.log`: on this machine, or in a SLURM job as a step on its nodes."""

import dataclasses
import json
import logging
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from launch.cluster.allocation import Allocation, count_nodes
from launch.cluster.step import cancel_step, pick_port, step_environment, step_words
from launch.config import LaunchConfig
from launch.errors import InputError
from launch.processes.commands import (
    accelerate_file,
    begin,
    machine_environment,
    module_words,
    stage_command,
    tied_environment,
)
from launch.processes.forward import is_stop_asked
from launch.processes.lock import LOCK
from launch.processes.lock import NAME as LOCK_NAME
from launch.processes.node import FAILED, HOLDER
from launch.processes.orphans import COMMAND, PARENT, own_identity
from launch.processes.relay import relay
from launch.processes.signals import STOPPED
from launch.processes.temporary import temporary_folder
from launch.progress import TERMINAL
from launch.stage import ERROR_FILE
from launch.stages import Stage
from launch.stopping import read_stop, stopped_path
from launch.watch.failures import first_failure
from launch.watch.marks import clear, make_folder, watch_folder
from launch.watch.task import WATCH, task_of

log = logging.getLogger(__name__)
NODE = "launch.processes.node"
TIED = "launch.processes.tied"
KILLED_STATUS = 128 + signal.SIGKILL
"""srun's, where a task was killed: by the machine that had no memory left, or by a person."""


class StageError(Exception):
    """A stage ended with a fault of ours; its log says which."""


class BareStatusError(StageError):
    """Nothing is known of how a stage ended but its status: no rank has said why."""


def start_module(module: str, words: Sequence[str]) -> int:
    """Run a module that belongs to no run as a process of this one; its exit status."""
    environment = {key: value for key, value in tied_environment().items() if key not in {LOCK, ERROR_FILE, STOPPED}}
    return subprocess.run(begin(module, words), env=environment, check=False).returncode


def start_stage(
    stage: Stage, *, recipe: Path, run_dir: Path, launch: LaunchConfig, allocation: Allocation | None = None
) -> None:
    """Run `stage` to its end. InputError with its own line where the user erred, StageError elsewhere.

    Args:
        allocation: the SLURM job around us; the stage starts on its nodes.
    """
    log_path = run_dir / "logs" / f"{stage.name}.log"
    watched = watch_folder(run_dir, stage.name)
    make_folder(watched)
    clear(watched)
    with temporary_folder(run_dir) as (folder, short_name):
        error_file = folder / "error"
        environment = {
            "PYTHONUNBUFFERED": "1",
            "TOKENIZERS_PARALLELISM": "false",
            "HF_HUB_OFFLINE": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            LOCK: str(run_dir.resolve() / LOCK_NAME),
            ERROR_FILE: str(error_file),
            STOPPED: str(stopped_path(run_dir.resolve(), stage)),
            WATCH: str(task_of(stage, run_dir=run_dir, launch=launch)),
            TERMINAL: "1" if sys.stderr.isatty() else "0",
        }
        first = stage.starter == "accelerate"  # it appends the folder the user stands in
        with _open_log(log_path) as kept:
            if allocation is None:
                environment |= {"TMPDIR": short_name, **machine_environment(stage, launch)}
                words = stage_command(stage, recipe=recipe, run_dir=run_dir, launch=launch)
                status, shown = _run(words, {**tied_environment(first=first), **environment}, kept)
            else:
                failed = folder / "failed"
                environment |= {HOLDER: str(own_identity()), FAILED: str(failed)}
                words = step_command(stage, recipe=recipe, run_dir=run_dir, launch=launch, allocation=allocation)
                within = step_environment({**tied_environment(first=first), **environment})
                try:
                    status, shown = _run(words, within, kept)
                finally:
                    cancel_step(allocation.job, step_name(stage))  # a killed srun leaves it
                if failed.exists() or status < 0 or status == KILLED_STATUS:
                    _forget_stop(run_dir, stage)
        if status == 0:
            return
        failure = first_failure(watched)
        if failure is not None and failure.is_users:
            raise InputError(failure.line)
        if error_file.is_file():
            raise InputError(error_file.read_text(encoding="utf-8"))
        if shown is not None:  # the disk is full: the line had no other way
            raise InputError(shown)
    if failure is not None:
        _show_last(failure.text if stage.starter != "python" else "", f"{stage.name}: {failure.line}", log_path)
        raise StageError(f"{stage.name} failed: {failure.line}; more is above and in {log_path}")
    if status < 0:
        raise StageError(f"{stage.name} was ended by {signal.Signals(-status).name}; see {log_path}")
    raise BareStatusError(f"{stage.name} failed with status {status}; its traceback is above and in {log_path}")


def _run(words: list[str], environment: dict[str, str], kept: BinaryIO) -> tuple[int, str | None]:
    kept.write(f"\n$ {shlex.join(words)}\n".encode())
    kept.flush()
    return relay(words, environment, kept, command=own_identity())


def step_command(
    stage: Stage, *, recipe: Path, run_dir: Path, launch: LaunchConfig, allocation: Allocation
) -> list[str]:
    """The command that starts `stage` on nodes of `allocation`: one of them where it has no ranks."""
    nodes = 1 if stage.starter == "python" else count_nodes(launch.nodes, allocation)
    if stage.starter == "accelerate" and launch.accelerate is not None:
        accelerate_file(launch, gpus=0)  # a wrong name: before anything starts
    task = module_words(
        NODE,
        [
            *(stage.name, "--config", str(recipe), "--run_dir", str(run_dir)),
            *("--launch", json.dumps(dataclasses.asdict(launch), separators=(",", ":"))),
            *("--nodes", ",".join(node.name for node in allocation.nodes[:nodes])),
            *("--master", launch.master or allocation.nodes[0].address, "--port", str(pick_port())),
        ],
    )
    unset = [COMMAND, PARENT]  # they name processes of this machine
    return module_words(TIED, step_words(allocation, nodes=nodes, name=step_name(stage), unset=unset, task=task))


def step_name(stage: Stage) -> str:
    """What the step of a stage that this command starts is called, for `cancel_step`."""
    return f"kinrec-{stage.name}-{os.getpid()}"


def _show_last(text: str, line: str, log_path: Path) -> None:
    """The first failure once more, below what the launchers and the other ranks said after it."""
    if text:
        sys.stderr.write(text)
    with _open_log(log_path) as kept:
        kept.write(f"{text}{line}\n".encode(errors="replace"))


def _forget_stop(run_dir: Path, stage: Stage) -> None:
    """A step that fails on one node is ended on the others by SIGTERM, which they take for a wish to stop.

    What all ranks have saved together is a stop all the same, and so is what this command was asked for.
    """
    stop = read_stop(run_dir, stage)
    if stop is not None and stop.where is None and not is_stop_asked():
        stopped_path(run_dir, stage).unlink(missing_ok=True)


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
