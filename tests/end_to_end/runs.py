"""Start `kinrec` as a user does, whole or until it is killed."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

TINY = Path(__file__).parent / "tiny.yaml"
ROOT = Path(__file__).parents[2]
TIMES = {"timing"}


def kinrec(*words: str, timeout: float = 600) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "launch.cli", *words], cwd=ROOT, capture_output=True, text=True, timeout=timeout
    )


def kill_during(stage: str, *words: str, wait_for: str, run_dir: Path, timeout: float = 300) -> None:
    """Start a command, SIGKILL it once `stage` has started and `wait_for` (a glob in the run folder) has a match."""
    process = subprocess.Popen(
        [sys.executable, "-m", "launch.cli", *words],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    started = run_dir / "manifests" / f"{stage}.started.json"
    deadline = time.monotonic() + timeout
    while not (started.is_file() and any(run_dir.glob(wait_for))):
        assert process.poll() is None, f"ended before {stage} could be killed"
        assert time.monotonic() < deadline, f"{stage} did not reach {wait_for}"
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    _wait_until_nobody_writes(run_dir, time.monotonic() + 10)
    assert not (run_dir / "manifests" / f"{stage}.json").is_file(), f"{stage} had finished before the kill"


def final_files(run_dir: Path) -> dict[str, str]:
    """Name -> digest of all that the manifests list, without measured times."""
    digests = {}
    for path in sorted((run_dir / "manifests").glob("*.json")):
        for name in json.loads(path.read_text(encoding="utf-8"))["outputs"]:
            digests[name] = _digest(run_dir / name)
    return digests


def _digest(path: Path) -> str:
    if path.suffix == ".json":
        text = json.dumps(_without_times(json.loads(path.read_text(encoding="utf-8"))), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()
    content = path.read_bytes()
    if path.name == "report.html":
        content, heading, _ = content.partition(b">Timing</h2>")  # the last section
        assert heading
    return hashlib.sha256(content).hexdigest()


def _without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: _without_times(inner)
            for key, inner in value.items()
            if key not in TIMES and not key.endswith(("seconds", "per_second"))
        }
    return value


def _wait_until_nobody_writes(run_dir: Path, deadline: float) -> None:
    """The ranks end with their parent; give the kernel the moment it needs."""
    while processes_of(run_dir):
        assert time.monotonic() < deadline, "ranks outlived the command that started them"
        time.sleep(0.05)


def processes_of(run_dir: Path) -> list[int]:
    """Process ids of all that belong to a run, by their words or their environment."""
    mark = str(run_dir).encode()
    processes = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                known = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()  # a zombie has none
            except OSError:
                continue
            if mark in known:
                processes.append(int(entry.name))
    return processes
