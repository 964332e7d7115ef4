"""Told to stop by SLURM: saved, requeued, and in the end the same files as a run that nobody stopped."""

from pathlib import Path

import pytest

from tests.slurm.cluster import Cluster
from tests.slurm.stopping import LOADING, MOMENTS, STEP, check_whole, start_stage_job

pytestmark = [pytest.mark.slow, pytest.mark.cluster]


@pytest.mark.parametrize("stage", MOMENTS, ids=["graph", "retrieve", "finetune", "generate"])
def test_usr1_and_term_save_requeue_bit_equal(
    slurm: Cluster, unstopped: Path, tmp_path: Path, stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = start_stage_job(slurm, unstopped, tmp_path / "run", stage, patch=monkeypatch)
    for name in ("USR1", "TERM"):
        before = job.wait_for_work()
        job.signal(name)
        job.wait_for_restart()
        assert job.kept() != before
    check_whole(job, unstopped)
    assert job.events == ["start", "stopped", "start", "stopped", "start", "finished"]


def test_time_limit_requeue_bit_equal(
    slurm: Cluster, unstopped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Limits count in minutes, and SLURM looks every 30 s: with 90 s the signal comes as soon as it has looked.
    words = ("--llm.checkpoint_every=1", "--slurm.time=00:20:00", "--slurm.signal_seconds=90")
    job = start_stage_job(slurm, unstopped, tmp_path / "run", "finetune", *words, patch=monkeypatch, slow=f"{STEP}=6")
    for _ in range(2):
        before = job.wait_for_work()
        job.limit_to_minutes_from_now(1)  # only now: how long imports take is the machine's affair
        job.wait_for_requeue()
        job.limit_to_minutes_from_now(20)  # before it starts: what is left of the short one would stop it once more
        job.wait_for_start()
        assert job.kept() != before
    check_whole(job, unstopped)
    assert job.events == ["start", "stopped", "start", "stopped", "start", "finished"]


def test_requeue_without_progress_stops(
    slurm: Cluster, unstopped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = f"{LOADING}=60"
    job = start_stage_job(slurm, unstopped, tmp_path / "run", "finetune", patch=monkeypatch, slow=slow)
    job.wait_for_mark("base_of_run")
    job.signal("USR1")
    job.wait_for_restart()
    job.wait_for_mark("base_of_run")
    job.signal("USR1")
    ended = job.end()
    assert (ended["JobState"], ended["ExitCode"], ended["Restarts"]) == ("FAILED", "1:0", "2")
    assert f"finetune: SLURM has started job {job.job} 2 times without getting on" in job.log
    assert job.events == ["start", "stopped"] * 2
