"""Stop a command or its ranks at a given moment of a stage, and look at what it says."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from tests.end_to_end.runs import ROOT, processes_of

TIMEOUT_SECONDS = 300.0


class Started:
    """A `kinrec` command at work in `run_dir`, its output kept in a file."""

    def __init__(self, run_dir: Path, *words: str, environment: Mapping[str, str] | None = None) -> None:
        self.run_dir = run_dir
        self._output = run_dir.parent / f"{run_dir.name}.output"
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "launch.cli", *words, f"--run_dir={run_dir}"],
                cwd=ROOT,
                env={**os.environ, **(environment or {})},
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    @property
    def output(self) -> str:
        """What it has said so far."""
        return self._output.read_text(encoding="utf-8", errors="replace")

    def wait_for(self, reached: Callable[[], bool]) -> None:
        """Wait until something has been reached while the command is at work."""
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while not reached():
            assert self.process.poll() is None, f"it ended too early:\n{self.output[-3000:]}"
            assert time.monotonic() < deadline, f"it did not come so far:\n{self.output[-3000:]}"
            time.sleep(0.01)

    def ranks(self) -> list[int]:
        """Process ids of its ranks."""
        return [pid for pid in processes_of(self.run_dir) if "RANK" in environment_of(pid)]

    def send(self, number: signal.Signals, pids: Iterable[int] | None = None) -> None:
        """Send a signal to the command, or to others."""
        for pid in [self.process.pid] if pids is None else pids:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue

    def end(self, seconds: float = TIMEOUT_SECONDS) -> int:
        """Its exit status; nobody of it is left."""
        status = self.process.wait(seconds)
        assert processes_of(self.run_dir) == []
        return status


def environment_of(pid: int) -> dict[str, str]:
    """What a process was started with; empty when it has ended."""
    try:
        entries = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return {}
    return dict(entry.decode(errors="replace").partition("=")[::2] for entry in entries if entry)
