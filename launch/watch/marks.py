"""The files of the watchdog, one of each kind a rank, in `logs/STAGE/`: written by rename, read with mistrust.

rank-N.beat     where the rank is, renewed each second
rank-N.stack    what it was doing when a time-out was reached
rank-N.log      its own log
rank-N.error    its failure
timeout         some rank has reached a time-out; all write their stacks
hang            the report of the lowest rank that could be reached
recorder-rank-N, library.*  torch's and the collective library's own, on GPUs
"""

import json
import os
import re
import socket
from pathlib import Path
from typing import Any, NamedTuple

from launch.errors import InputError

BEAT, STACK, LOG, ERROR, FLIGHT = "beat", "stack", "log", "error", "flight"
TIMEOUT, HANG = "timeout", "hang"
RECORDER, LIBRARY = "recorder-rank-", "library."
FOREIGN = (RECORDER, LIBRARY)
NAME = re.compile(r"rank-(\d{1,6})\.(\w+)", flags=re.ASCII)
MAX_BYTES = 1 << 20
Record = dict[str, Any]  # Any: plain JSON values


class Beat(NamedTuple):
    """What a rank last wrote of itself. Times are seconds since 1970 by that rank's clock."""

    rank: int
    ranks: int
    host: str
    pid: int
    stage: str
    phase: str
    step: int | None
    total: int | None
    moved: float
    """When something was last done."""
    alive: float
    """When this was written."""
    idle: float
    """Seconds that the process has been awake since `moved`."""
    limit: float
    """Seconds that it may stand still in its present phase."""
    every: float
    """Seconds between two beats."""
    rate: float | None
    """Steps a second in the present loop, since it began here."""
    alone: bool
    timed_out: Record
    """Only after a time-out: `where`, `collectives`, `reaches`."""

    @property
    def position(self) -> str:
        """Phase and step in words."""
        if self.step is None:
            return self.phase
        return f"{self.phase}, step {self.step}" + (f" of {self.total}" if self.total else "")


def watch_folder(run_dir: Path, stage: str) -> Path:
    """Where a stage's files of this kind are."""
    return run_dir / "logs" / stage


def make_folder(folder: Path) -> None:
    """Make the folder; refuse one that is a link and could lead out of the run."""
    for path in (folder.parent, folder):
        if path.is_symlink():
            raise InputError(f"{path}: a symbolic link where a folder of the run's own belongs; remove it")
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{path}: cannot make this folder: {error.strerror}; move what is there away") from error


def clear(folder: Path) -> None:
    """Remove what an earlier start left, but its logs. Only before any rank has started."""
    for path in folder.iterdir():
        name = NAME.fullmatch(path.name)
        if path.name in {TIMEOUT, HANG} or path.name.startswith(FOREIGN) or (name and name[2] != LOG):
            path.unlink(missing_ok=True)


def rank_file(folder: Path, rank: int, kind: str) -> Path:
    """One rank's file of one kind."""
    return folder / f"rank-{rank}.{kind}"


def write_record(path: Path, record: Record) -> None:
    """Write JSON by rename, without waiting for the disk: it is for those who read it now."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    partial.unlink(missing_ok=True)  # of a process that was killed while it wrote
    try:
        with open(partial, "x", encoding="utf-8") as file:
            json.dump(record, file)
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise


def read_record(path: Path) -> Record | None:
    """A JSON object from a plain file, or None."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            record = json.loads(file.read(MAX_BYTES))
    except (OSError, ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def read_beats(folder: Path) -> dict[int, Beat]:
    """Every rank's last beat by rank; what is no beat is left out."""
    beats = {}
    try:
        names = [name for name in map(NAME.fullmatch, os.listdir(folder)) if name and name[2] == BEAT]
    except OSError:
        return {}
    for name in names:
        beat = _as_beat(read_record(folder / name[0]))
        if beat is not None and beat.rank == int(name[1]):
            beats[beat.rank] = beat
    ranks = max((beat.alive, beat.ranks) for beat in beats.values())[1] if beats else 0
    return {rank: beats[rank] for rank in sorted(beats) if rank < ranks}  # an earlier start may have had more


def host_name() -> str:
    """This node as SLURM or the machine calls it."""
    return os.environ.get("SLURMD_NODENAME") or socket.gethostname()


def _as_beat(record: Record | None) -> Beat | None:
    try:
        assert record is not None
        return Beat(
            rank=int(record["rank"]),
            ranks=int(record["ranks"]),
            host=str(record["host"])[:200],
            pid=int(record["pid"]),
            stage=str(record["stage"])[:200],
            phase=str(record["phase"])[:200],
            step=None if record["step"] is None else int(record["step"]),
            total=None if record["total"] is None else int(record["total"]),
            moved=float(record["moved"]),
            alive=float(record["alive"]),
            idle=float(record["idle"]),
            limit=float(record["limit"]),
            every=float(record["every"]),
            rate=None if record["rate"] is None else float(record["rate"]),
            alone=bool(record["alone"]),
            timed_out=dict(record["timed_out"]),
        )
    except (AssertionError, KeyError, TypeError, ValueError, OverflowError):
        return None
