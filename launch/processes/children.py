"""Heavy work in a process of its own with a time-out: a broken torch is a line, neither a traceback nor a wait."""

import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from launch.processes.commands import begin, tied_environment
from launch.processes.lock import LOCK
from launch.processes.orphans import end_relatives, own_identity
from launch.stage import ERROR_FILE

MARK = "KINREC-DOCTOR "
"""Begins a line of a child that is an answer; libraries write lines of their own."""
PATIENCE_SECONDS = 1.0


@dataclass(frozen=True)
class Outcome:
    """How a child ended and what it said."""

    status: int | None
    """Its exit status, negative for a signal; None: it was ended at its time-out."""
    answers: list[dict[str, Any]]  # Any: plain JSON values
    errors: str
    """All that it wrote otherwise."""
    seconds: float

    @property
    def why(self) -> str:
        """How it failed, in a line."""
        if self.status is None:
            return f"no answer within {self.seconds:.0f} s"
        if self.status < 0:
            return f"ended by {signal.Signals(-self.status).name}{self._last_words(': ')}"
        return self._last_words("") or f"ended with status {self.status}"

    def _last_words(self, joint: str) -> str:
        lines = [line.strip() for line in self.errors.splitlines() if line.strip()]
        blamed = [line for line in lines if line.partition(":")[0].endswith(("Error", "Exception"))]
        return f"{joint}{(blamed or lines)[-1][:300]}" if lines else ""


def answer(**values: Any) -> None:  # Any: plain JSON values
    """Say something to the command that started this process: one write, so that lines of several ranks stay whole."""
    os.write(1, f"{MARK}{json.dumps(values)}\n".encode())


def child_environment() -> dict[str, str]:
    """The environment of a process of the doctor's: tied to it as a run's are to theirs, of no run."""
    environment = {key: value for key, value in tied_environment().items() if key not in {LOCK, ERROR_FILE}}
    return environment | {"PYTHONUNBUFFERED": "1", "HF_HUB_OFFLINE": "1"}


def run_child(words: Sequence[str], *, seconds: float, environment: Mapping[str, str] | None = None) -> Outcome:
    """Run a command to its end or its time-out, and leave nothing of it behind.

    Args:
        environment: `child_environment` with more, if it needs more.
    """
    environment = child_environment() if environment is None else environment
    started = time.monotonic()
    with tempfile.TemporaryFile() as output:  # not a pipe: what is left behind could hold one open
        process = subprocess.Popen(
            words, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
        status: int | None = None
        try:
            status = process.wait(timeout=max(seconds, 0.1))
        except subprocess.TimeoutExpired:
            pass
        finally:
            end_relatives(own_identity(), patience=PATIENCE_SECONDS)
            process.kill()
            process.wait()
        output.seek(0)
        text = output.read().decode(errors="replace")
    answers, others = [], []
    for line in text.splitlines():
        _, mark, said = line.partition(MARK)
        value = _parsed(said) if mark else None
        if value is None:
            others.append(line)
        else:
            answers.append(value)
    return Outcome(status, answers, "\n".join(others), time.monotonic() - started)


def run_module(module: str, arguments: Sequence[str], *, seconds: float) -> Outcome:
    """`run_child` of a module of ours or of a library."""
    return run_child(begin(module, arguments), seconds=seconds)


def _parsed(text: str) -> dict[str, Any] | None:
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
