"""A node's task has all GPUs of the job there, however the job asked for them. The GPUs are two other devices."""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.end_to_end.runs import ROOT
from tests.slurm.cluster import outside
from tests.slurm.conftest import need_programs
from tests.slurm.daemons import Daemons

pytestmark = pytest.mark.slow
ASK = """
import os, subprocess
from launch.cluster.allocation import read_allocation
from launch.cluster.step import step_environment, step_words
for nodes in (2, 1):
    task = ["sh", "-c", 'echo "$SLURMD_NODENAME has $CUDA_VISIBLE_DEVICES"']
    words = step_words(read_allocation(), nodes=nodes, name="ask", unset=["X"], task=task)
    subprocess.run(words, env=step_environment(os.environ), check=True)
"""


@pytest.fixture(scope="module", autouse=True)
def _with_gpus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A cluster of two nodes with two GPUs each."""
    need_programs()
    daemons = Daemons(tmp_path_factory.mktemp("slurm"), with_gpus=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", str(daemons.config))
        try:
            daemons.start()
            yield
        finally:
            daemons.stop()


def tasks_of(asked: list[str]) -> list[str]:
    """What the tasks of two steps say, on both nodes and on the first, in a job that shares its nodes."""
    words = ["salloc", "--quiet", "--nodes=2", *asked, sys.executable, "-c", ASK]
    ended = subprocess.run(words, cwd=ROOT, env=outside(), capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stderr
    return sorted(line.strip() for line in ended.stdout.splitlines())


@pytest.mark.parametrize(
    "asked",
    [
        ["--gpus-per-node=2", "--ntasks-per-node=1"],
        ["--gres=gpu:2"],
        ["--gpus-per-task=1", "--ntasks-per-node=2", "--cpus-per-task=1"],
        ["--gpus=4", "--ntasks=4", "--mem-per-cpu=1"],
        ["--gpus=4", "--ntasks-per-gpu=1"],
    ],
    ids=" ".join,
)
def test_a_task_has_all_gpus_of_its_node(asked: list[str]) -> None:
    told = tasks_of(asked)
    first, second = (f"kinrec-node{number} has 0,1" for number in (1, 2))
    assert told == [first, first, second]


def test_without_gpus_none_are_asked_for() -> None:
    assert tasks_of([]) == ["kinrec-node1 has", "kinrec-node1 has", "kinrec-node2 has"]
