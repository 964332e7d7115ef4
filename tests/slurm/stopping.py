"""One stage as a job of `kinrec submit`, signalled at chosen moments, and what is to come of it."""

import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from launch.artifacts import read_json
from launch.stages import stage_named
from launch.state.history import position, read_history
from launch.state.manifests import output_files
from tests.end_to_end.runs import ROOT, final_files
from tests.slurm.cluster import OVER, Cluster
from tests.slurm.submitting import HOLD, NAMES, last_jobs, part_of_a_run, submit

RECIPE = Path(__file__).parent / "stopping.yaml"
SLOW_PARTS = ROOT / "tests" / "slow_parts"
TIMEOUT_SECONDS = 400.0
LOADING = "training.base_files:base_of_run"
VALIDATION = "training.tuning.fit:validate"
SAVE = "training.saved.resume:save_position"
EXPORT = "training.saved.tuned_weights:publish"
STEP = "training.tuning.fit:FineTune.step"
# stage -> what is there when its work is under way
MOMENTS = {
    "pretrain": "graph/checkpoints/step-*.json",
    "retrieve": "neighbours/parts/train/*.parquet",
    "finetune": "llm/checkpoints/step-*/seal.json",
    "generate": "generated/parts/valid/*.parquet",
}


@dataclass
class StageJob:
    """A job that runs one stage of a run whose earlier stages have finished."""

    slurm: Cluster
    run_dir: Path
    stage: str
    job: str
    marks: Path
    restarts: int = field(default=0)

    @property
    def events(self) -> list[str]:
        """What became of its starts so far."""
        return [line["event"] for line in read_history(self.run_dir, stage_named(self.stage))]

    def kept(self) -> str:
        """Changes with what the stage has put on the disk to go on from."""
        return position(self.run_dir, stage_named(self.stage))

    def wait_for_work(self) -> str:
        """Wait until its work is under way and has put more on the disk; what `kept` was before."""
        before = self.kept()
        self.wait_for(lambda: self.kept() != before and any(self.run_dir.glob(MOMENTS[self.stage])), "its work")
        return before

    def wait_for(self, reached: Callable[[], object], what: str) -> None:
        """Wait until the job has come to something. AssertionError if it is over before."""
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while not reached():
            state = self.slurm.state(self.job)
            assert state not in OVER, f"{what}: {state}, {self.log}"
            assert time.monotonic() < deadline, f"{what}: {state}, {self.log}"
            time.sleep(0.05)

    def wait_for_mark(self, function: str) -> None:
        """Wait until both ranks are in a slow part; its marks go."""
        marks = [self.marks / f"{function}-{rank}" for rank in (0, 1)]
        self.wait_for(lambda: all(mark.is_file() for mark in marks), function)
        for mark in marks:
            mark.unlink()

    def signal(self, name: str) -> None:
        """Have SLURM send a signal to the job's steps, as at a time limit or before a pre-emption."""
        self.slurm.cancel(self.job, f"--signal={name}")

    def limit_to_minutes_from_now(self, minutes: int) -> None:
        """Set the time limit of the running job; SLURM then sends the job's own signal before it."""
        hours, passed, seconds = map(int, self.slurm.job(self.job)["RunTime"].split(":"))
        limit = 60 * hours + passed + (seconds > 0) + minutes
        words = ["scontrol", "update", f"JobId={self.job}", f"TimeLimit={limit}"]
        subprocess.run(words, check=True, capture_output=True)

    def wait_for_restart(self) -> None:
        """Wait until SLURM has started the job again after the stage was stopped."""
        self.wait_for_requeue()
        self.wait_for_start()

    def wait_for_requeue(self) -> None:
        """Wait until SLURM has queued the job again after the stage was stopped."""
        self.restarts += 1
        self.wait_for(lambda: int(self.slurm.job(self.job)["Restarts"]) >= self.restarts, f"restart {self.restarts}")

    def wait_for_start(self) -> None:
        """Wait until the stage has begun once more than it was stopped."""
        self.wait_for(lambda: self.events.count("start") > self.restarts, f"start {self.restarts + 1}")

    def end(self) -> dict[str, str]:
        """The job when it is over."""
        return self.slurm.wait(self.job, timeout=TIMEOUT_SECONDS)

    def outputs(self) -> dict[str, str]:
        """Digests of what the stage has written."""
        return outputs_of(self.run_dir, self.stage)

    @property
    def log(self) -> str:
        """The end of what the job has said."""
        path = self.run_dir / "logs" / f"{self.stage}.slurm"
        return path.read_text(encoding="utf-8", errors="replace")[-40_000:] if path.is_file() else "no output"


def outputs_of(run_dir: Path, stage: str) -> dict[str, str]:
    """Digests of what a stage has written, without measured times."""
    names = read_json(run_dir / "manifests" / f"{stage}.json")["outputs"]
    return {name: digest for name, digest in final_files(run_dir).items() if name in names}


def start_stage_job(
    slurm: Cluster, whole: Path, run_dir: Path, stage: str, *words: str, patch: Any, slow: str = ""
) -> StageJob:
    """Submit `stage` of a copy of the finished run `whole`, and let that one job begin.

    Args:
        patch: pytest's monkeypatch: jobs take their environment from ours.
        slow: parts that are to be slow, as tests/slow_parts has it.
    """
    marks = run_dir.parent / f"{run_dir.name}-marks"
    marks.mkdir()
    if slow:
        patch.setenv("KINREC_TEST_SLOW", slow)
        patch.setenv("KINREC_TEST_MARKS", str(marks))
        patch.setenv("PYTHONPATH", f"{SLOW_PARTS}:{ROOT}")
    part_of_a_run(whole, run_dir, NAMES[: NAMES.index(stage)])
    for path in output_files(run_dir, stage_named(stage)):
        path.unlink()
    for folder in stage_named(stage).resumes:
        shutil.rmtree(run_dir / folder, ignore_errors=True)
    ended = submit(slurm, run_dir, HOLD, "--slurm.doctor=false", *words, recipe=RECIPE)
    assert ended.returncode == 0, ended.stderr
    job = last_jobs(run_dir)[stage]
    slurm.release(job)
    return StageJob(slurm, run_dir, stage, job, marks)


def check_whole(job: StageJob, unstopped: Path) -> None:
    """The job has finished, and written what it should."""
    assert job.end()["JobState"] == "COMPLETED", job.log
    assert job.outputs() == outputs_of(unstopped, job.stage)
