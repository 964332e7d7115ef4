"""What SLURM has given: nodes in its order, an address of each, and how many of them a stage gets."""

from pathlib import Path

import pytest

from launch.cluster.allocation import (
    Allocation,
    Node,
    count_nodes,
    job_gpus,
    node_addresses,
    read_allocation,
    refuse_lone_tasks,
)
from launch.errors import InputError

TOLD = """\
NodeName=gpu-a07 Arch=x86_64 CoresPerSocket=64  Gres=gpu:8(S:0-1) NodeAddr=10.3.0.7 NodeHostName=gpu-a07 Port=6818 State=ALLOCATED
NodeName=gpu-a10 Arch=x86_64 CoresPerSocket=64  Gres=gpu:8(S:0-1) NodeAddr=gpu-a10.cluster NodeHostName=gpu-a10 State=MIXED

"""  # noqa: E501  one line a node, as scontrol prints it
JOB = "JobId=12 JOB_GRES=gpu:12 Nodes=gpu-a10 Mem=0 GRES=gpu:8(IDX:0-7) Nodes=gpu-a07 Mem=0 GRES=gpu:4(IDX:0-3)"
TWO = Allocation("12", (Node("a", "10.0.0.1"), Node("b", "10.0.0.2")))


def programs(folder: Path, monkeypatch: pytest.MonkeyPatch, scontrol: str) -> None:
    """`srun` and `scontrol` as only words on the path: what SLURM answers is given."""
    for name, text in (("srun", "exit 1"), ("scontrol", scontrol)):
        (folder / name).write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    monkeypatch.setenv("SLURM_JOB_NODELIST", "gpu-a[07,10]")


def test_the_address_is_the_one_that_slurm_uses() -> None:
    assert node_addresses(TOLD) == {"gpu-a07": "10.3.0.7", "gpu-a10": "gpu-a10.cluster"}
    assert node_addresses("") == {}


def test_nodes_come_in_slurms_order_with_their_addresses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "told").write_text(TOLD, encoding="utf-8")
    (tmp_path / "job").write_text(JOB, encoding="utf-8")
    names = "show) echo gpu-a10; echo gpu-a07;;"
    answer = f"case $1 in {names} --oneliner) cat {tmp_path}/told;; --details) cat {tmp_path}/job;; esac"
    programs(tmp_path, monkeypatch, answer)
    nodes = (Node("gpu-a10", "gpu-a10.cluster"), Node("gpu-a07", "10.3.0.7"))
    assert read_allocation() == Allocation("12", nodes, gpus=4)


@pytest.mark.parametrize(
    ("told", "gpus"),
    [
        ("JOB_GRES=gpu:4 Nodes=a[1-2] CPU_IDs=0 Mem=0 GRES=gpu:2(IDX:0-1) TresPerNode=gres:gpu:2", [2]),
        (
            "Nodes=a Mem=0 GRES=gpu:a100:8(IDX:0-7) Nodes=b Mem=0 GRES=gpu:2(IDX:0,3),gpu:h100:1(IDX:1)",
            [8, 3],
        ),
        ("Nodes=a CPU_IDs=0-1 Mem=0 GRES= Network=(null)", [0]),
        ("Nodes=a CPU_IDs=0-1 Mem=0 GRES=shard:2(IDX:0-1)", [0]),
        ("JobId=7 JobState=RUNNING", []),
    ],
)
def test_gpus_of_a_job_are_those_that_it_was_given(told: str, gpus: list[int]) -> None:
    assert job_gpus(told) == gpus


def test_a_controller_that_refuses_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs(tmp_path, monkeypatch, "echo 'slurm_load_node error: Unable to contact slurm controller' >&2; exit 1")
    with pytest.raises(InputError, match=r"scontrol show hostnames gpu-a\[07,10\]: .*Unable to contact"):
        read_allocation()


@pytest.mark.parametrize("gone", ["SLURM_JOB_ID", "SLURM_JOB_NODELIST", "PATH"])
def test_outside_a_job_or_without_its_programs_there_is_no_allocation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gone: str
) -> None:
    programs(tmp_path, monkeypatch, "exit 1")
    monkeypatch.setenv(gone, "")
    assert read_allocation() is None


def test_a_stage_gets_all_nodes_or_as_many_as_it_asks_for() -> None:
    assert count_nodes(None, TWO) == 2
    assert count_nodes(1, TWO) == 1
    assert count_nodes(2, TWO) == 2
    assert count_nodes(None, None) == 1
    assert count_nodes(1, None) == 1


@pytest.mark.parametrize(("allocation", "why"), [(TWO, "SLURM job 12 has 2"), (None, "this is not inside a SLURM job")])
def test_more_nodes_than_there_are_is_refused_with_the_cure(allocation: Allocation | None, why: str) -> None:
    with pytest.raises(InputError, match=rf"launch.nodes is 3, but {why}: salloc --nodes=3 kinrec run RECIPE, or"):
        count_nodes(3, allocation)


def test_lone_tasks_are_refused_and_ranks_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "2")
    with pytest.raises(InputError, match="2 separate tasks"):
        refuse_lone_tasks()
    monkeypatch.setenv("RANK", "1")
    refuse_lone_tasks()
    monkeypatch.delenv("RANK")
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "1")
    refuse_lone_tasks()
    monkeypatch.delenv("SLURM_STEP_NUM_TASKS")
    refuse_lone_tasks()
