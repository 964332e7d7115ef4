"""A signal while the fine-tune loads, validates, saves, exports; several; and a save that takes long."""

from pathlib import Path

import pytest

from tests.slurm.cluster import Cluster
from tests.slurm.stopping import EXPORT, LOADING, SAVE, VALIDATION, check_whole, start_stage_job

pytestmark = [pytest.mark.slow, pytest.mark.cluster]


def test_signal_during_import_validation_save_export(
    slurm: Cluster, unstopped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = f"{LOADING}=4 {VALIDATION}=4 {SAVE}=4 {EXPORT}=4"
    job = start_stage_job(slurm, unstopped, tmp_path / "run", "finetune", patch=monkeypatch, slow=slow)
    job.wait_for_mark("base_of_run")  # nothing is loaded yet: it ends at once
    job.signal("USR1")
    job.wait_for_restart()
    assert not list(job.run_dir.glob("llm/checkpoints/step-*"))
    job.wait_for_mark("validate")  # of step 0: what the steps start from
    job.wait_for_mark("save_position")  # of step 4: it is brought to its end, and training stops after it
    job.signal("USR1")
    job.wait_for_restart()
    job.wait_for_mark("validate")  # of step 8: broken off, and made whole by the next start
    job.signal("TERM")
    job.wait_for_restart()
    job.wait_for_mark("publish")  # too late to stop: the stage is finished first
    job.signal("TERM")
    check_whole(job, unstopped)
    assert job.events == [*["start", "stopped"] * 3, "start", "finished"]
    assert "stopped at step 4 of finetune" in job.log
    assert "stopped at step 8 of finetune" in job.log


def test_second_signal_during_save(
    slurm: Cluster, unstopped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = f"{SAVE}=3"
    job = start_stage_job(slurm, unstopped, tmp_path / "run", "finetune", patch=monkeypatch, slow=slow)
    job.wait_for_mark("save_position")
    for name in ("USR1", "TERM", "TERM"):
        job.signal(name)
    job.wait_for_restart()
    assert "stopped at step 4 of finetune" in job.log
    check_whole(job, unstopped)
    assert job.events == ["start", "stopped", "start", "finished"]


def test_save_longer_than_30s(slurm: Cluster, unstopped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = f"{SAVE}=36"  # torchrun would have killed the ranks after 30 s
    words = ("--llm.checkpoint_every=12",)
    job = start_stage_job(slurm, unstopped, tmp_path / "run", "finetune", *words, patch=monkeypatch, slow=slow)
    job.wait_for_mark("save_position")
    job.signal("TERM")
    job.wait_for_restart()
    assert "stopped at step 12 of finetune" in job.log
    check_whole(job, unstopped)
