"""The failure of each rank in `rank-N.error`, and the first of them: what came later are its consequences."""

import re
import time
import traceback
from dataclasses import dataclass
from pathlib import Path

from launch.errors import first_line, one_line
from launch.terminal import shown, shown_lines
from launch.watch.beats import OVER
from launch.watch.marks import (
    ERROR,
    HANG,
    LOG,
    NAME,
    Record,
    host_name,
    rank_file,
    read_beats,
    read_record,
    write_record,
)
from launch.watch.verdict import hang_text

LOST_PEER = re.compile(
    r"connection (closed|reset|refused)|broken pipe|peer closed|remote process (exited|has)|communicator was aborted"
    r"|socket (closed|timeout)|ncclremoteerror|ncclsystemerror|connectfullmesh failed",
    flags=re.IGNORECASE,
)
"""What the ranks say whose neighbour has gone."""
MOST_CHARS = 8000


@dataclass(frozen=True)
class Failure:
    """Why a stage ended, as its ranks wrote it down."""

    line: str
    """One line: rank, host, error."""
    text: str
    """What to show above it; may be empty."""
    is_users: bool = False


def record_failure(error: BaseException, *, folder: Path, stage: str, rank: int) -> None:
    """Write `rank-N.error`, and the traceback into `rank-N.log`; the first call of a rank counts."""
    path = rank_file(folder, rank, ERROR)
    if path.exists():
        return
    whole = "".join(traceback.format_exception(error))
    record = {
        "rank": rank,
        "host": host_name(),
        "time": time.time(),
        "stage": stage,
        "line": one_line(error),
        "error": f"{type(error).__name__}: {first_line(error)}",
        "lost_peer": is_lost_peer(error),
        "traceback": whole[-MOST_CHARS:],
    }
    try:
        write_record(path, record)
        with rank_file(folder, rank, LOG).open("a", encoding="utf-8") as file:
            file.write(shown_lines(whole) + "\n")
    except OSError:  # the disk is full: the traceback goes to stderr in any case
        return


def is_lost_peer(error: BaseException) -> bool:
    """Whether an error tells of another rank's end."""
    seen: BaseException | None = error
    while seen is not None:
        if LOST_PEER.search(str(seen)):
            return True
        seen = seen.__cause__ or seen.__context__
    return False


def first_failure(folder: Path) -> Failure | None:
    """Why the stage ended: the first of what its ranks left, a lost connection only where there is nothing else."""
    hang = read_record(folder / HANG)
    errors = sorted(_errors(folder), key=lambda record: _number(record, "time"))
    own = [record for record in errors if not record.get("lost_peer")]
    if hang is not None and not any(_number(record, "time") < _number(hang, "time") for record in own):
        said_lines = hang.get("lines")
        lines = [str(line) for line in said_lines[:64]] if isinstance(said_lines, list) else []
        lines = lines or ["a time-out was reached"]
        said = lines[-2] if len(lines) > 1 else lines[-1]  # the last one says where the stacks are
        return Failure(shown(said), hang_text(str(hang.get("stage")), lines))
    if own:
        return _failure(own[0])
    return _failure(errors[0], also=_silent(folder, errors)) if errors else None


def _failure(record: Record, *, also: str = "") -> Failure:
    if isinstance(record.get("line"), str):
        return Failure(str(record["line"]), "", is_users=True)
    line = f"rank {record.get('rank')} on {record.get('host')}: {record.get('error')}"
    return Failure(also + shown(line), shown_lines(str(record.get("traceback", ""))[-MOST_CHARS:]))


def _silent(folder: Path, errors: list[Record]) -> str:
    """The ranks that left no error of their own while others lost their connection to them: they were killed."""
    said = {record.get("rank") for record in errors}
    gone = [beat for rank, beat in read_beats(folder).items() if rank not in said and beat.phase not in OVER]
    named = "; ".join(f"rank {beat.rank} on {beat.host} ({beat.position})" for beat in gone[:4])
    return shown(f"{named} ended without an error of its own: it was killed (out of memory?); then ") if gone else ""


def _errors(folder: Path) -> list[Record]:
    if not folder.is_dir():
        return []
    names = [name for path in folder.iterdir() if (name := NAME.fullmatch(path.name)) and name[2] == ERROR]
    return [record for name in names if (record := read_record(folder / name[0])) is not None]


def _number(record: Record, key: str) -> float:
    value = record.get(key)
    return float(value) if isinstance(value, (int, float)) else float("inf")
