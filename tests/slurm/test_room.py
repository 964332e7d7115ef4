"""The test room itself: two real nodes, jobs that run on them, states that can be asked for."""

from pathlib import Path

import pytest

from tests.slurm.cluster import Cluster

pytestmark = pytest.mark.slow


def test_an_allocation_of_two_nodes_runs_a_task_on_each(slurm: Cluster) -> None:
    ended = slurm.salloc("srun", "--ntasks-per-node=1", "bash", "-c", "echo $SLURM_NODEID/$SLURM_NNODES")
    assert ended.returncode == 0, ended.stderr
    assert sorted(ended.stdout.split()) == ["0/2", "1/2"]


def test_a_job_is_followed_to_its_end(slurm: Cluster, tmp_path: Path) -> None:
    job = slurm.sbatch("echo here; exit 3", folder=tmp_path)
    ended = slurm.wait(job)
    assert (ended["JobState"], ended["ExitCode"]) == ("FAILED", "3:0")
    assert slurm.output(ended) == "here\n"
