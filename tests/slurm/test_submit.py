"""`kinrec submit` on a real SLURM: what it shows is what it submits, and submitting again harms nothing."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.end_to_end.runs import ROOT, final_files, kinrec
from tests.slurm.cluster import Cluster
from tests.slurm.submitting import (
    HOLD,
    NAMES,
    SMALL,
    Whole,
    jobs_of,
    last_jobs,
    part_of_a_run,
    queued,
    shown_scripts,
    submit,
    wait_for_all,
)

pytestmark = pytest.mark.slow


def test_a_run_through_submit_finishes_on_the_nodes_of_each_stage(slurm: Cluster, whole: Whole) -> None:
    assert kinrec("status", str(whole.run_dir)).stdout.count("finished in") == len(NAMES)
    nodes = {stage: int(slurm.job(job)["NumNodes"]) for stage, job in last_jobs(whole.run_dir).items()}
    assert nodes == dict.fromkeys(NAMES, 1) | dict.fromkeys(("pretrain", "finetune", "generate"), 2)
    for name in NAMES:
        assert f"{name} finished in" in (whole.run_dir / "logs" / f"{name}.slurm").read_text(encoding="utf-8")


def test_dry_run_equals_submitted_script(whole: Whole) -> None:
    scripts, calls = shown_scripts(whole.dry)
    entries = jobs_of(whole.run_dir)
    assert [path.name for path in scripts] == [f"{name}.sbatch" for name in NAMES]
    for path, text in scripts.items():
        assert path.read_bytes() == text.encode()
    made = []
    for entry in entries:
        waits = [f"--dependency={entry['after']}"] if entry["after"] else []
        made.append(" ".join(["sbatch", "--parsable", *waits, entry["script"]]))
    shown = calls
    for entry in entries:
        shown = [call.replace(f"JOB_OF_{entry['stage']}", entry["job"]) for call in shown]
    assert shown == made


def test_resubmission_after_completion_starts_nothing(slurm: Cluster, whole: Whole) -> None:
    before = jobs_of(whole.run_dir)
    again = submit(slurm, whole.run_dir)
    assert (again.returncode, jobs_of(whole.run_dir), queued(whole.run_dir)) == (0, before, [])
    assert "nothing to submit" in again.stdout
    assert "nothing to submit" in submit(slurm, whole.run_dir, "--dry-run").stdout


def test_failed_stage_cancels_dependents_and_status_says_why(slurm: Cluster, whole: Whole, tmp_path: Path) -> None:
    run_dir = part_of_a_run(whole.run_dir, tmp_path / "run", NAMES[:4])
    assert submit(slurm, run_dir, "--slurm.stages.finetune.setup=[exit 3]").returncode == 0
    ended = wait_for_all(slurm, run_dir)
    assert {stage: (job["JobState"], job["ExitCode"]) for stage, job in ended.items()} == {
        "finetune": ("FAILED", "3:0"),
        "generate": ("CANCELLED", "0:0"),
        "evaluate": ("CANCELLED", "0:0"),
    }
    assert ended["generate"]["Reason"] == "DependencyNeverSatisfied"
    status, finetune = kinrec("status", str(run_dir)).stdout, last_jobs(run_dir)["finetune"]
    assert f"finetune  job {finetune}: failed" in status
    assert status.count(f"it waits for finetune (job {finetune}), which is failed") == 2
    again = submit(slurm, run_dir, HOLD)
    assert again.returncode == 0, again.stderr
    assert [entry["stage"] for entry in jobs_of(run_dir)] == ["finetune", "generate", "evaluate"] * 2
    assert queued(run_dir) == sorted(last_jobs(run_dir).values())


@pytest.mark.cluster
def test_a_job_that_is_told_to_end_goes_on_under_its_own_number(slurm: Cluster, whole: Whole, tmp_path: Path) -> None:
    run_dir = part_of_a_run(whole.run_dir, tmp_path / "run", NAMES[:4])
    assert submit(slurm, run_dir).returncode == 0
    jobs = last_jobs(run_dir)
    slurm.wait_for(jobs["finetune"], "RUNNING")
    deadline = time.monotonic() + 300
    while not (run_dir / "manifests" / "finetune.started.json").exists():
        assert time.monotonic() < deadline, slurm.output(slurm.job(jobs["finetune"]))
        time.sleep(0.05)
    slurm.cancel(jobs["finetune"], "--signal=USR1")
    ended = {stage: slurm.wait(job) for stage, job in jobs.items()}
    assert {stage: job["JobState"] for stage, job in ended.items()} == dict.fromkeys(jobs, "COMPLETED")
    assert ended["finetune"]["Restarts"] == "1"
    assert final_files(run_dir) == final_files(whole.run_dir)


def test_purged_dependency_is_not_success(slurm: Cluster, whole: Whole, tmp_path: Path) -> None:
    """SLURM lets a job run that waits for one that it does not know: the job itself finds that it may not."""
    run_dir = part_of_a_run(whole.run_dir, tmp_path / "run", ["prepare", "pretrain"])
    assert submit(slurm, run_dir, HOLD).returncode == 0
    script = run_dir / "slurm" / "tokenize.sbatch"  # it reads what retrieve writes, and that is held back
    for job in last_jobs(run_dir).values():
        slurm.cancel(job)
    script.write_text(script.read_text(encoding="utf-8").replace("#SBATCH --hold\n", ""), encoding="utf-8")
    words = ["sbatch", "--parsable", "--dependency=afterok:3999999", str(script)]
    job = slurm.watch(subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip())
    ended = slurm.wait(job)
    assert (ended["JobState"], ended["ExitCode"]) == ("FAILED", "2:0")
    assert "retrieve has not finished" in slurm.output(ended)
    assert not (run_dir / "manifests" / "tokenize.json").exists()
    assert "retrieve" in submit(slurm, run_dir, "--dry-run").stdout


def test_submitting_at_any_moment_doubles_nothing(slurm: Cluster, tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    command = [sys.executable, "-m", "launch.cli", "submit", str(SMALL), f"--run_dir={run_dir}", HOLD]
    both = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) for _ in range(2)]
    refused = [process for process in both if process.wait(timeout=120) == 2]
    assert len(refused) < 2
    first = submit(slurm, run_dir, HOLD)
    assert first.returncode == 0, first.stderr
    assert first.stdout.count("kept") == len(NAMES)
    jobs = last_jobs(run_dir)
    assert queued(run_dir) == sorted(jobs.values())
    (run_dir / "slurm" / "jobs.json").unlink()  # a submission that was killed before it had written down anything
    assert submit(slurm, run_dir, HOLD).stdout.count("kept") == len(NAMES)
    assert last_jobs(run_dir) == jobs

    link = tmp_path / "link"
    link.symlink_to(tmp_path)  # the same folder by another name
    assert submit(slurm, link / "run", HOLD).stdout.count("kept") == len(NAMES)

    slurm.cancel(jobs["retrieve"])  # those behind it wait for what will not come
    slurm.wait(jobs["retrieve"])
    again = submit(slurm, run_dir, HOLD)
    assert again.returncode == 0, again.stderr
    renewed = last_jobs(run_dir)
    assert queued(run_dir) == sorted(renewed.values())
    assert [name for name in NAMES if renewed[name] == jobs[name]] == ["prepare", "pretrain"]
    assert slurm.job(renewed["retrieve"])["Dependency"].startswith(f"afterok:{jobs['pretrain']}")

    other = submit(slurm, run_dir, HOLD, "--llm.lr=0.5")
    assert other.returncode == 2
    assert "llm.lr differs from what jobs" in other.stderr
    assert submit(slurm, run_dir, HOLD, "--llm.log_every=3").returncode == 0  # it decides nothing
    assert queued(run_dir) == sorted(renewed.values())


def test_what_sbatch_refuses_is_said_with_what_was_submitted_before(slurm: Cluster, tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    refused = submit(slurm, run_dir, HOLD, "--slurm.stages.retrieve.partition=nosuch")
    assert refused.returncode == 2
    jobs = last_jobs(run_dir)
    assert list(jobs) == ["prepare", "pretrain"]
    assert f"submitted before it: prepare {jobs['prepare']}, pretrain {jobs['pretrain']}" in refused.stderr
    assert "invalid partition" in refused.stderr
    assert kinrec("status", str(run_dir)).returncode == 0  # though no job has begun
    assert submit(slurm, run_dir, HOLD).returncode == 0
    assert queued(run_dir) == sorted(last_jobs(run_dir).values())
    assert len(queued(run_dir)) == len(NAMES)


def test_from_a_stage_on_only_if_the_earlier_ones_hold(slurm: Cluster, whole: Whole, tmp_path: Path) -> None:
    run_dir = part_of_a_run(whole.run_dir, tmp_path / "run", NAMES[:5])
    early = submit(slurm, run_dir, "--from=evaluate", "--dry-run")
    assert early.returncode == 2
    assert "generate has not finished" in early.stderr
    shown = submit(slurm, run_dir, "--from=generate", "--dry-run").stdout
    assert [path.stem for path in shown_scripts(shown)[0]] == ["generate", "evaluate"]
    assert submit(slurm, run_dir, "--from=generation", "--dry-run").returncode == 2
