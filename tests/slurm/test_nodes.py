"""Stages over two nodes: the same results as on one, whatever the nodes are called; what cannot work is refused."""

import json
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.end_to_end.runs import ROOT, TINY, final_files, kinrec
from tests.slurm.cluster import Cluster, outside

pytestmark = pytest.mark.slow
KINREC = [sys.executable, "-m", "launch.cli"]
STAGES = ("prepare", "pretrain", "retrieve", "tokenize", "finetune", "generate", "evaluate")
OVER_TWO = ["--launch.nodes=2", "--launch.processes=1", "--slurm.stages.retrieve.nodes=2", "--slurm.doctor=false"]


@pytest.fixture(scope="session")
def two_node_run(slurm: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of tiny.yaml by `kinrec submit`, one rank on each of two nodes; read it, do not change it."""
    run_dir = tmp_path_factory.mktemp("two") / "run"
    words = [*KINREC, "submit", str(TINY), f"--run_dir={run_dir}", *OVER_TWO]
    ended = subprocess.run(words, cwd=ROOT, env=outside(), capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stderr
    jobs = json.loads((run_dir / "slurm" / "jobs.json").read_text(encoding="utf-8"))
    assert [job["stage"] for job in jobs] == list(STAGES)
    for job in jobs:
        slurm.watch(str(job["job"]))
    for job in jobs:
        over = slurm.wait(str(job["job"]), timeout=900)
        assert over["JobState"] == "COMPLETED", f"{job['stage']}: {over['JobState']}: {slurm.output(over)}"
    return run_dir


@pytest.mark.cluster
def test_two_nodes_equal_one_node(two_node_run: Path, tiny_run: Path) -> None:
    assert final_files(two_node_run) == final_files(tiny_run)


@pytest.mark.cluster
def test_every_stage_with_ranks_had_two_nodes(two_node_run: Path) -> None:
    for stage in ("pretrain", "retrieve", "finetune", "generate"):
        manifest = json.loads((two_node_run / "manifests" / f"{stage}.json").read_text(encoding="utf-8"))
        assert manifest["world_size"] == 2, stage
        assert "--nodes=2 --ntasks=2" in (two_node_run / "logs" / f"{stage}.log").read_text(encoding="utf-8")
    log = (two_node_run / "logs" / "finetune.log").read_text(encoding="utf-8")
    assert "rank 0/2 holds 50.0 %" in log
    assert "rank 1/2 holds 50.0 %" in log  # what the other node says comes to the log as well
    assert not (two_node_run / ".tmp").exists()


def test_unresolvable_node_names(slurm: Cluster, two_node_run: Path) -> None:
    """The run was made on nodes whose names mean nothing to the resolver."""
    log = (two_node_run / "logs" / "pretrain.log").read_text(encoding="utf-8")
    names = slurm.nodes()
    assert f"--nodelist={','.join(names)}" in log
    for name in names:
        with pytest.raises(OSError, match=r"."):
            socket.getaddrinfo(name, 1)


def test_an_address_that_does_not_resolve_is_one_line(slurm: Cluster, tiny_run: Path, tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    shutil.copytree(tiny_run, run_dir)
    words = [*KINREC, "pretrain", str(TINY), f"--run_dir={run_dir}", "--graph.schedule.epochs=1"]
    ended = slurm.salloc(*words, "--launch.master=nowhere.invalid")
    assert ended.returncode == 2
    line = ended.stderr.splitlines()[-1]
    assert line.startswith("kinrec: error: the first node's address 'nowhere.invalid' does not resolve on ")
    assert line.endswith("give launch.master one that all nodes know")
    assert ended.stderr.count("Traceback") == 0
    assert final_files(run_dir) == final_files(tiny_run)  # the earlier result is back


@pytest.mark.parametrize("module", ["pairs.prepare", "retrieval.neighbours"])
def test_bare_srun_is_refused(slurm: Cluster, tmp_path: Path, module: str) -> None:
    run_dir = tmp_path / "run"
    stage = [sys.executable, "-m", module, "--config", str(TINY), f"--run_dir={run_dir}"]
    ended = slurm.salloc("srun", "--ntasks-per-node=1", *stage)
    assert ended.returncode == 2, ended.stderr
    lines = [line for line in ended.stderr.splitlines() if line.startswith("kinrec: error: ")]
    assert lines[0].startswith(
        "kinrec: error: srun started this as 2 separate tasks, which know nothing of one another"
    )
    assert "Traceback" not in ended.stderr
    assert not run_dir.exists()


def test_the_command_by_bare_srun_is_refused(slurm: Cluster, tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    ended = slurm.salloc("srun", "--ntasks-per-node=1", *KINREC, "run", str(TINY), f"--run_dir={run_dir}")
    assert ended.returncode == 2
    assert "kinrec: error: srun started this as 2 separate tasks" in ended.stderr
    assert not run_dir.exists()


def test_more_nodes_than_the_job_has_are_refused_before_anything_is_written(slurm: Cluster, tmp_path: Path) -> None:
    words = ["pretrain", str(TINY), f"--run_dir={tmp_path / 'run'}", "--launch.nodes=3"]
    inside, alone = slurm.salloc(*KINREC, *words), kinrec(*words)
    assert (inside.returncode, alone.returncode) == (2, 2)
    cure = "salloc --nodes=3 kinrec run RECIPE, or kinrec submit RECIPE"
    assert inside.stderr.splitlines()[-1].endswith(f"has 2: {cure}")
    assert alone.stderr.splitlines()[-1].endswith(f"this is not inside a SLURM job: {cure}")
    assert not (tmp_path / "run" / "recipe.yaml").exists()
