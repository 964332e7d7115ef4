"""Whoever of two nodes' processes is killed, nobody is left behind and the command says so.

The command is typed into a shell of an allocation: that stays, so SLURM does not clean up after us.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.processes.test_orphans import HANGS
from tests.end_to_end.runs import ROOT, TINY, processes_of
from tests.slurm.cluster import Cluster, allocated, outside

pytestmark = [pytest.mark.slow, pytest.mark.cluster]
SHELL = """\
{python} -m launch.cli pretrain {recipe} --run_dir={run_dir} --launch.processes=1 2> {folder}/stderr
echo $? > {folder}/status.partial; mv {folder}/status.partial {folder}/status
while [ ! -e {folder}/over ]; do sleep 0.2; done
"""
START_SECONDS = 240.0
END_SECONDS = 60.0


class OverTwoNodes:
    """`kinrec pretrain` in a shell of an allocation of two nodes; its two ranks hang in an import."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.run_dir = folder / "run"
        self.temporary = folder / "t"
        self.temporary.mkdir()
        hanging = folder / "path" / "torch_geometric"
        hanging.mkdir(parents=True)
        (hanging / "__init__.py").write_text(HANGS, encoding="utf-8")
        script = folder / "shell.sh"
        words = SHELL.format(python=sys.executable, recipe=TINY, run_dir=self.run_dir, folder=folder)
        script.write_text(words, encoding="utf-8")
        path = os.pathsep.join([str(hanging.parent), os.environ.get("PYTHONPATH", "")])
        environment = {**outside(), "PYTHONPATH": path, "TMPDIR": str(self.temporary)}
        self.shell = subprocess.Popen(allocated("bash", str(script)), cwd=ROOT, env=environment)
        deadline = time.monotonic() + START_SECONDS
        while len(ranks := sorted(int(path.name) for path in hanging.iterdir() if path.name.isdigit())) < 2:
            assert not (folder / "status").exists(), (folder / "stderr").read_text(encoding="utf-8")
            assert time.monotonic() < deadline, "the ranks did not begin to import"
            time.sleep(0.05)
        self.rank = ranks[0]
        self.launcher = parent(self.rank)
        self.node = parent(self.launcher)
        (self.command,) = self._named("-m", "launch.cli", "pretrain")
        (self.srun,) = [pid for pid in self._named("srun") if parent(pid) == self.command]

    def end(self) -> None:
        """End the command, if it goes on, and the shell: the nodes are free again."""
        if not (self.folder / "status").is_file():
            os.kill(self.command, signal.SIGKILL)
        (self.folder / "over").touch()
        self.shell.wait(END_SECONDS)

    def _named(self, *words: str) -> list[int]:
        """Processes of the run that have these words one after another."""
        mark = b"\0".join(word.encode() for word in words) + b"\0"
        return [pid for pid in processes_of(self.run_dir) if mark in Path(f"/proc/{pid}/cmdline").read_bytes()]

    def left(self) -> list[int]:
        """Who of this run is still there after the time that they have."""
        deadline = time.monotonic() + END_SECONDS
        while (left := processes_of(self.run_dir)) and time.monotonic() < deadline:
            time.sleep(0.1)
        return left

    def status(self) -> int:
        """The command's; AssertionError if it does not end in time."""
        deadline = time.monotonic() + END_SECONDS
        while not (self.folder / "status").is_file():
            assert time.monotonic() < deadline, "the command goes on"
            time.sleep(0.1)
        return int((self.folder / "status").read_text(encoding="ascii"))


def parent(pid: int) -> int:
    """Who started a process."""
    return int(Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[1])


@pytest.fixture
def over_two_nodes(slurm: Cluster, tmp_path: Path) -> Iterator[OverTwoNodes]:
    run = OverTwoNodes(tmp_path)
    yield run
    run.end()


@pytest.mark.parametrize("victim", ["rank", "launcher", "node", "srun"])
def test_a_killed_process_ends_the_step_and_the_command(over_two_nodes: OverTwoNodes, victim: str) -> None:
    os.kill(getattr(over_two_nodes, victim), signal.SIGKILL)
    assert over_two_nodes.status() == 1
    assert over_two_nodes.left() == []
    assert "kinrec: pretrain " in (over_two_nodes.folder / "stderr").read_text(encoding="utf-8")
    if victim in {"rank", "launcher"}:  # the node's process clears up; a killed one's folder goes at the next start
        assert list(over_two_nodes.temporary.glob("kinrec-*")) == []


def test_no_process_on_any_node_outlives_a_killed_command(over_two_nodes: OverTwoNodes) -> None:
    os.kill(over_two_nodes.command, signal.SIGKILL)
    assert over_two_nodes.status() == 137
    assert over_two_nodes.left() == []


def test_an_interrupted_command_ends_the_step(over_two_nodes: OverTwoNodes) -> None:
    os.kill(over_two_nodes.command, signal.SIGINT)
    assert over_two_nodes.status() == 130
    assert over_two_nodes.left() == []
