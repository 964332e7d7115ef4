"""What became of every start of a stage: `logs/STAGE/starts.jsonl`, a line when it starts and one when it ends.

    {"time", "event": "start" | "finished" | "stopped" | "failed", "host", "job", "restart", "ranks", "position", "why"}

`position` tells whether a start got on: a digest of the names of what a further start goes on from. A job that SLURM
starts again and again without getting on is refused at its third start, or it would go on for ever.
"""

import hashlib
import json
import logging
import os
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from launch.artifacts import PARTIAL
from launch.cluster.allocation import job_id, restarts
from launch.errors import InputError, first_line
from launch.stages import Stage
from launch.state.manifests import output_files, read_manifest
from launch.stopping import Stopped

MOST_FRUITLESS = 2
"""Starts of one SLURM job that may leave a stage where it was."""
log = logging.getLogger(__name__)

Event = Literal["start", "finished", "stopped", "failed"]
Line = dict[str, Any]  # Any: plain JSON values


class NoProgress(Exception):  # noqa: N818  it says what is wrong
    """A job was started again and again, and the stage stands where it stood."""


def history_path(run_dir: Path, stage: Stage) -> Path:
    """Where a stage's starts are written down."""
    return run_dir / "logs" / stage.name / "starts.jsonl"


def read_history(run_dir: Path, stage: Stage) -> list[Line]:
    """The lines so far, the oldest first; a torn one is passed over."""
    try:
        text = history_path(run_dir, stage).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    lines = []
    for line in text.splitlines():
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(record, dict) and isinstance(record.get("event"), str):
            lines.append(record)
    return lines


@contextmanager
def recorded(run_dir: Path, stage: Stage, *, ranks: int) -> Iterator[None]:
    """Around one start: written down before and after. NoProgress if there were too many that got nowhere."""
    why = why_fruitless(run_dir, stage)
    if why is not None:
        raise NoProgress(why)
    _append(run_dir, stage, "start", ranks=ranks)
    try:
        yield
    except Stopped as stop:
        _append(run_dir, stage, "stopped", ranks=ranks, why=str(stop))
        raise
    except BaseException as error:
        _append(run_dir, stage, "failed", ranks=ranks, why=_reason(error))
        raise
    _append(run_dir, stage, "finished", ranks=ranks)


def why_fruitless(run_dir: Path, stage: Stage) -> str | None:
    """One line if this start of a SLURM job would be one more that gets nowhere; None elsewhere."""
    job = job_id()
    if job is None or restarts() == 0:
        return None
    here = _position_to_start_from(run_dir, stage)
    starts = [line for line in read_history(run_dir, stage) if line["event"] == "start" and line.get("job") == job]
    last = starts[-MOST_FRUITLESS:]
    if len(last) < MOST_FRUITLESS or any(line.get("position") != here for line in last):
        return None
    return (
        f"{stage.name}: SLURM has started job {job} {MOST_FRUITLESS} times without getting on, so it is not started "
        f"again; see {run_dir / 'logs' / f'{stage.name}.log'}, give it more time or save more often "
        "(checkpoint_minutes), and submit again"
    )


def position(run_dir: Path, stage: Stage) -> str:
    """A digest of the names of all that a start of `stage` finds done: resume state, and files of its own."""
    names = {path.relative_to(run_dir).as_posix() for path in output_files(run_dir, stage)}
    for folder in stage.resumes:
        for root, folders, files in os.walk(run_dir / folder):
            folders[:] = [name for name in folders if not name.endswith(PARTIAL)]
            names |= {(Path(root) / name).relative_to(run_dir).as_posix() for name in files}
    return _digest(name for name in names if not name.endswith(PARTIAL))


def _position_to_start_from(run_dir: Path, stage: Stage) -> str:
    """As `position`; a finished result counts for nothing, since the start moves it out of its way."""
    return _digest([]) if read_manifest(run_dir, stage) is not None else position(run_dir, stage)


def _append(run_dir: Path, stage: Stage, event: Event, *, ranks: int, why: str = "") -> None:
    line: Line = {
        "time": round(time.time(), 3),
        "event": event,
        "host": socket.gethostname(),
        "job": job_id(),
        "restart": restarts(),
        "ranks": ranks,
        "position": _position_to_start_from(run_dir, stage) if event == "start" else position(run_dir, stage),
        "why": why,
    }
    path = history_path(run_dir, stage)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(
            path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o644
        )
        try:
            os.write(file, (json.dumps(line) + "\n").encode())
            os.fsync(file)
        finally:
            os.close(file)
    except OSError as error:
        if event == "start":
            raise InputError(f"{path}: cannot write: {error.strerror}; move what is there away") from error
        log.warning("%s: cannot write: %s", path, error.strerror)  # how it ended is more than this


def _digest(names: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(sorted(names)).encode(errors="surrogateescape")).hexdigest()[:16]


def _reason(error: BaseException) -> str:
    if isinstance(error, SystemExit):
        return f"ended with status {error.code}"
    return first_line(error)
