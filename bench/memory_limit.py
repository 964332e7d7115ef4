"""Run a command that may use only so much memory, and say how long it took and how much it used."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

V1, V2 = Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")
GIB = 2**30


@dataclass(frozen=True)
class Measured:
    """What a command cost."""

    seconds: float
    peak_gib: float
    """The largest resident set of the process or of one of its children, mapped files included."""
    limited_by: str
    """What kept it below the limit."""


def run_limited(command: list[str], *, gib: float, cwd: Path) -> Measured:
    """Run `command` to its end. It is killed when it needs more memory than `gib`, where control groups allow it;
    RuntimeError if it fails."""
    with _limited_group(gib) as (group, limited_by):

        def join_group() -> None:
            if group is not None:
                (group / "cgroup.procs").write_text(str(os.getpid()), encoding="ascii")

        started = time.perf_counter()
        process = subprocess.Popen(
            command, cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, preexec_fn=join_group
        )
        assert process.stderr is not None
        said = process.stderr.read().decode(errors="replace")
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode == -signal.SIGKILL:
        raise RuntimeError(f"killed: it needs more than {gib} GiB ({limited_by})")
    if process.returncode:
        raise RuntimeError(f"exit status {process.returncode}: {said[-2000:]}")
    peak = usage.ru_maxrss * 1024 / GIB
    if peak > gib:
        raise RuntimeError(f"it used {peak:.2f} GiB, more than {gib}")
    return Measured(seconds, peak, limited_by)


@contextmanager
def _limited_group(gib: float) -> Iterator[tuple[Path | None, str]]:
    """A new control group with a memory limit, version 1 or 2; None where we may not make one."""
    for root, file in ((V1, "memory.limit_in_bytes"), (V2, "memory.max")):
        group = root / f"kinrec-bench-{os.getpid()}"
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            if not (group / file).exists():
                continue
            (group / file).write_text(str(int(gib * GIB)), encoding="ascii")
            yield group, f"control group, {file}"
            return
        finally:
            group.rmdir()
    yield None, "nothing: no control group may be made here; the peak alone is checked"
