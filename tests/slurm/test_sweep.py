"""Sweeps and seeds as SLURM arrays, and the table at their end."""

from pathlib import Path

import pytest

from launch.artifacts import read_json
from tests.slurm.cluster import Cluster
from tests.slurm.submitting import NAMES, Whole, jobs_of, queued, shown_scripts, submit, wait_for_all

pytestmark = pytest.mark.slow
ONE_NODE = "--launch.nodes=1"


@pytest.fixture(scope="module")
def base(whole: Whole) -> Path:
    """A finished run, with seed 1, whose stages a sweep may share."""
    return whole.run_dir


@pytest.mark.cluster
def test_seeds_are_arrays_with_a_table_at_the_end(slurm: Cluster, base: Path) -> None:
    root = base.with_name("run-sweep")
    shown = submit(slurm, base, ONE_NODE, "--seeds=1,2", "--dry-run", sweep=True)
    assert shown.returncode == 0, shown.stderr
    assert not root.exists()
    ended = submit(slurm, base, ONE_NODE, "--seeds=1,2", sweep=True)
    assert ended.returncode == 0, ended.stderr
    for path, text in shown_scripts(shown.stdout)[0].items():
        assert path.read_bytes() == text.encode()
    assert jobs_of(root / "seed-1") == []  # all of it is the base's
    sent = jobs_of(root / "seed-2")
    at_once = submit(slurm, base, ONE_NODE, "--seeds=1,2", sweep=True)
    assert at_once.returncode == 0, at_once.stderr
    assert at_once.stdout.count("kept") >= len(NAMES) - 1, "all, but for the first ones that may have ended by now"
    assert jobs_of(root / "seed-2") == sent, "none is sent twice"
    other = submit(slurm, base, ONE_NODE, "--seeds=2,3", sweep=True)
    assert "of a sweep over other runs are not at their end" in other.stderr
    assert [entry["stage"] for entry in jobs_of(root / "seed-2")] == NAMES
    for entry in jobs_of(root / "seed-2"):
        job = slurm.wait(slurm.watch(entry["job"]))
        assert job["JobState"] == "COMPLETED", f"{entry['stage']}: {slurm.output(job)}"
    assert wait_for_all(slurm, root)["compare"]["JobState"] == "COMPLETED"
    table = read_json(root / "compare.json")
    assert [run["seed"] for run in table["runs"]] == [1, 2]
    assert [len(group["runs"]) for group in table["over_seeds"]] == [2]
    assert "over seeds: mean +- standard deviation" in (root / "compare.txt").read_text(encoding="utf-8")
    again = submit(slurm, base, ONE_NODE, "--seeds=1,2", sweep=True)
    assert "nothing to submit" in again.stdout
    assert queued(root) == []


def test_a_swept_key_shares_what_it_does_not_touch(slurm: Cluster, base: Path) -> None:
    root = base.with_name("run-sweep")
    ended = submit(slurm, base, ONE_NODE, "--sweep=evaluation.refine_top=3,4", sweep=True)
    assert ended.returncode == 0, ended.stderr
    for name in ("refine_top-3", "refine_top-4"):
        assert [entry["stage"] for entry in jobs_of(root / name)] == ["evaluate"]
        same = Path("llm/model/model.safetensors")
        assert (root / name / same).stat().st_ino == (base / same).stat().st_ino
    assert wait_for_all(slurm, root)["compare"]["JobState"] == "COMPLETED"
    table = read_json(root / "compare.json")
    assert sorted(Path(run["run"]).name for run in table["runs"]) == ["refine_top-3", "refine_top-4"]
    assert table["left_out"] == {}


def test_a_run_of_a_sweep_that_fails_stops_itself_alone(slurm: Cluster, base: Path) -> None:
    root = base.with_name("run-sweep")
    setup = '--slurm.stages.generate.setup=["[ $SLURM_ARRAY_TASK_ID != 0 ] || exit 3"]'
    ended = submit(slurm, base, ONE_NODE, "--sweep=generation.length_penalty=0.5,0.6", setup, sweep=True)
    assert ended.returncode == 0, ended.stderr
    states = {
        name: [slurm.wait(slurm.watch(entry["job"]))["JobState"] for entry in jobs_of(root / name)]
        for name in ("length_penalty-0.5", "length_penalty-0.6")
    }
    assert states == {"length_penalty-0.5": ["FAILED", "CANCELLED"], "length_penalty-0.6": ["COMPLETED", "COMPLETED"]}
    table = wait_for_all(slurm, root)["compare"]
    assert (table["JobState"], table["ExitCode"]) == ("FAILED", "1:0")
    assert [Path(run).name for run in read_json(root / "compare.json")["left_out"]] == ["length_penalty-0.5"]
