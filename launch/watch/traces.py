"""What a rank was doing when nothing moved any more: stacks of its threads, its collectives, whom it can reach."""

import encodings.idna  # noqa: F401  a name is looked up with it; importing it later could wait for an import that hangs
import faulthandler
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import TextIO

from launch.watch.marks import FLIGHT, LIBRARY, RECORDER, STACK, Record, host_name, rank_file, write_record

ROOT = Path(__file__).resolve().parents[2]
OURS = ("pairs", "evaluation", "graph", "retrieval", "training", "launch")
COLLECTIVES = "2000"
"""How many the recorder keeps."""
REACH_SECONDS = 3.0
WAITING = ("/torch/distributed/", "/torch/autograd/", "/deepspeed/comm/")
"""Frames of these are in a collective, or in a backward pass that is full of them."""
_kept: dict[Path, TextIO] = {}


def record_collectives(folder: Path) -> None:
    """Let torch keep its last collectives in memory, and NCCL write its own warnings; the user's settings stay."""
    for name, value in {
        "TORCH_FR_BUFFER_SIZE": COLLECTIVES,
        "TORCH_NCCL_TRACE_BUFFER_SIZE": COLLECTIVES,  # its name before torch 2.11
        "TORCH_NCCL_DUMP_ON_TIMEOUT": "1",
        "TORCH_FR_DUMP_TEMP_FILE": str(folder / RECORDER),
        "TORCH_NCCL_DEBUG_INFO_TEMP_FILE": str(folder / RECORDER),
        "NCCL_DEBUG": "WARN",
        "NCCL_DEBUG_FILE": str(folder / f"{LIBRARY}%h.%p"),
    }.items():
        os.environ.setdefault(name, value)


def keep_traces(folder: Path, rank: int, *, seconds: float) -> None:
    """Should this process not come back here within `seconds` (some code holds the interpreter): its stacks."""
    path = rank_file(folder, rank, STACK)
    if path not in _kept:
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        _kept[path] = os.fdopen(descriptor, "a", encoding="utf-8")
    faulthandler.dump_traceback_later(seconds, exit=False, file=_kept[path])


def forget_traces() -> None:
    """Nothing will be asked for any more; a file that has stayed empty goes."""
    for path, file in _kept.items():
        faulthandler.cancel_dump_traceback_later()
        if path.exists() and os.fstat(file.fileno()).st_size == 0:
            path.unlink(missing_ok=True)


def write_traces(folder: Path, rank: int, *, heading: str) -> Record:
    """Write `rank-N.stack` and, with torch, `rank-N.flight`; what of it others need to know."""
    frame = sys._current_frames().get(threading.main_thread().ident or 0)
    facts: Record = {"where": place_of(frame), "waits": waits(frame), "collectives": None}
    file = _kept.get(rank_file(folder, rank, STACK))
    if file is not None:
        faulthandler.cancel_dump_traceback_later()
        file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} rank {rank} on {host_name()} pid {os.getpid()}: {heading}\n")
        file.flush()
        faulthandler.dump_traceback(file, all_threads=True)
    trace = collectives()
    if trace is not None:
        write_record(rank_file(folder, rank, FLIGHT), trace)
        facts["collectives"] = {
            str(entry.get("process_group", ["0"])[0]): entry["collective_seq_id"] for entry in trace["entries"]
        }
    return facts


def place_of(frame: FrameType | None) -> str:
    """The innermost line of ours: `graph/training.py:113 in step`."""
    while frame is not None:
        path = Path(frame.f_code.co_filename)
        if path.is_relative_to(ROOT):
            name = path.relative_to(ROOT)
            if name.parts[0] in OURS and name.parts != ("launch", "distributed.py"):
                return f"{name}:{frame.f_lineno} in {frame.f_code.co_name}"
        frame = frame.f_back
    return ""


def waits(frame: FrameType | None) -> bool:
    """Whether a frame is below a collective."""
    while frame is not None:
        if any(part in frame.f_code.co_filename for part in WAITING):
            return True
        frame = frame.f_back
    return False


def collectives() -> Record | None:
    """The flight recorder's last collectives, if torch is there and has any."""
    torch = sys.modules.get("torch._C._distributed_c10d")
    dump = getattr(torch, "_dump_fr_trace_json", None)
    if dump is None:
        return None
    try:
        trace = json.loads(dump(includeCollectives=True, onlyActive=False))
    except (RuntimeError, ValueError):
        return None
    return trace if isinstance(trace, dict) and trace.get("entries") else None


def reaches_first_node() -> bool | None:
    """Whether the first node, where the ranks met, answers from here; None where there was no meeting."""
    host, port = os.environ.get("MASTER_ADDR"), os.environ.get("MASTER_PORT", "")
    if not host or not port.isdigit():
        return None
    answers: list[bool] = []

    def reach() -> None:
        try:
            socket.create_connection((host, int(port)), timeout=REACH_SECONDS).close()
            answers.append(True)
        except (OSError, UnicodeError):
            answers.append(False)

    in_time(reach, seconds=REACH_SECONDS + 1)  # looking up the name may take longer than the connection
    return answers[0] if answers else False


def in_time(function: Callable[[], object], *, seconds: float) -> None:
    """Call `function`, but do not wait for it for ever."""
    caller = threading.Thread(target=function, daemon=True)
    caller.start()
    caller.join(timeout=seconds)
