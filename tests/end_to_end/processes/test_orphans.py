"""Whoever is killed while the ranks still import, nobody is left behind, and `kinrec` never waits for ever."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.runs import ROOT, TINY, processes_of

HANGS = """import os, time
open(os.path.join(os.path.dirname(__file__), str(os.getpid())), "w").close()
time.sleep(120)
"""
SECONDS = 10.0


def hear_all() -> None:
    """As on a terminal: tests that run under nohup, or in the background of a script, ignore these two."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


class Importing:
    """`kinrec pretrain` whose two ranks hang in an import, as on a busy machine."""

    def __init__(self, folder: Path) -> None:
        self.run_dir = folder / "run"
        self.system = folder / "system"
        """What the command takes for the system's folder of temporary files."""
        self.system.mkdir()
        hanging = folder / "path" / "torch_geometric"
        hanging.mkdir(parents=True)
        (hanging / "__init__.py").write_text(HANGS, encoding="utf-8")
        path = os.pathsep.join([str(hanging.parent), os.environ.get("PYTHONPATH", "")])
        words = [sys.executable, "-m", "launch.cli", "pretrain", str(TINY), f"--run_dir={self.run_dir}"]
        self.command = subprocess.Popen(
            words,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": path, "TMPDIR": str(self.system)},
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=hear_all,
        )
        deadline = time.monotonic() + 120
        while len(ranks := [int(path.name) for path in hanging.iterdir() if path.name.isdigit()]) < 2:
            assert self.command.poll() is None, "ended before the ranks began to import"
            assert time.monotonic() < deadline, "the ranks did not begin to import"
            time.sleep(0.05)
        self.ranks = ranks
        (self.launcher,) = {int(Path(f"/proc/{rank}/stat").read_text().rpartition(")")[2].split()[1]) for rank in ranks}

    def wait(self) -> int:
        """The command's status; TimeoutExpired if it does not end in time."""
        return self.command.wait(SECONDS)

    def left(self) -> list[int]:
        """Who of this run is still there after the time that they have."""
        deadline = time.monotonic() + SECONDS
        while (left := processes_of(self.run_dir)) and time.monotonic() < deadline:
            time.sleep(0.05)
        return left


@pytest.fixture
def importing(tmp_path: Path) -> Iterator[Importing]:
    started = Importing(tmp_path)
    yield started
    for pid in [started.command.pid, *started.ranks]:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    started.command.communicate()


@pytest.mark.slow
def test_no_rank_outlives_a_killed_command_while_it_imports(importing: Importing) -> None:
    importing.command.kill()
    assert importing.left() == []
    assert list(importing.system.iterdir()) == []


@pytest.mark.slow
def test_a_killed_launcher_ends_the_command(importing: Importing) -> None:
    os.kill(importing.launcher, signal.SIGKILL)
    assert importing.wait() == 1
    assert importing.left() == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGTERM, 75), (signal.SIGUSR1, 75), (signal.SIGINT, 130), (signal.SIGHUP, 129)]
)
def test_a_signal_to_the_command_ends_all(importing: Importing, number: signal.Signals, status: int) -> None:
    importing.command.send_signal(number)
    assert importing.wait() == status
    assert importing.left() == []
    assert not list(importing.run_dir.glob(".tmp"))


@pytest.mark.slow
def test_ranks_that_are_told_while_they_import_end_at_once(importing: Importing) -> None:
    for rank in importing.ranks:
        os.kill(rank, signal.SIGUSR1)
    assert importing.wait() == 75
    assert importing.left() == []


@pytest.mark.slow
def test_a_launcher_leaves_its_ranks_alone(importing: Importing) -> None:
    for number in (signal.SIGTERM, signal.SIGUSR1):
        os.kill(importing.launcher, number)
    time.sleep(1)
    assert importing.command.poll() is None
    importing.command.send_signal(signal.SIGTERM)
    assert importing.wait() == 75
