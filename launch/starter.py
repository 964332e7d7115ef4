"""Start one stage as a process: python, torchrun or accelerate launch, its output shown and kept.

The stage's output goes to `logs/STAGE.log` whole. On the terminal it stops at the stage's own error line, before the
launchers add their reports about it.
"""

import logging
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from launch.config import LaunchConfig
from launch.errors import InputError
from launch.orphans import die_with_parent
from launch.progress import TERMINAL
from launch.stage import ERROR_FILE
from launch.stages import Stage

log = logging.getLogger(__name__)
DS_CONFIGS = Path(__file__).parent.parent / "ds_configs"
ERROR_MARK = b"kinrec: error: "


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
        return [sys.executable, "-m", stage.module, *arguments]
    count = str(given.processes)
    if stage.starter == "torchrun":
        torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", count]
        return [*torchrun, "-m", stage.module, *arguments]
    file = accelerate_file(launch, gpus=given.gpus)
    accelerate = [sys.executable, "-m", "accelerate.commands.accelerate_cli", "launch", "--config_file", str(file)]
    return [*accelerate, "--num_processes", count, "-m", stage.module, *arguments]


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
    log_path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="kinrec-") as folder:
        error_file = Path(folder) / "error"
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": str(resources(launch).threads),
            "PYTHONUNBUFFERED": "1",
            "TOKENIZERS_PARALLELISM": "false",
            "HF_HUB_OFFLINE": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            **({} if count_gpus() else {"DS_ACCELERATOR": "cpu"}),  # DeepSpeed need not guess, nor say so
            ERROR_FILE: str(error_file),
            TERMINAL: "1" if sys.stderr.isatty() else "0",
        }
        with log_path.open("ab") as kept:
            kept.write(f"\n$ {' '.join(command)}\n".encode())
            kept.flush()
            status = _relay(command, environment, kept)
        if status == 0:
            return
        if error_file.is_file():
            raise InputError(error_file.read_text(encoding="utf-8"))
    if status < 0:
        raise StageError(f"{stage.name} was ended by {signal.Signals(-status).name}; see {log_path}")
    raise StageError(f"{stage.name} failed with status {status}; its traceback is above and in {log_path}")


def _relay(command: list[str], environment: dict[str, str], kept: BinaryIO) -> int:
    process = subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=die_with_parent,
    )
    assert process.stdout is not None
    shown = True
    tail = b""
    try:
        while chunk := os.read(process.stdout.fileno(), 1 << 16):
            kept.write(chunk)
            kept.flush()
            if shown:
                tail += chunk
                shown, tail = _show(tail)
        return process.wait()
    except BaseException:  # Ctrl-C, or the log's disk is full: take the ranks along
        _end_group(process)
        raise


def _show(text: bytes) -> tuple[bool, bytes]:
    """Write `text` to stderr as far as lines are whole (or redrawn bars); stop for good at an error line."""
    mark = text.find(ERROR_MARK)
    whole = text if mark < 0 else text[:mark]
    end = max(whole.rfind(b"\n"), whole.rfind(b"\r")) + 1
    sys.stderr.buffer.write(whole[:end])
    sys.stderr.buffer.flush()
    return mark < 0, b"" if mark >= 0 else whole[end:]


def _end_group(process: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(timeout=10)
            return
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue
