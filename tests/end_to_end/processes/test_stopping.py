"""USR1 and TERM: saved, ended with 75, and gone on with to the same files as if nothing had been."""

import shutil
import signal
from pathlib import Path

import pytest

from launch.stages import stage_named
from tests.end_to_end.processes.stopping import Started
from tests.end_to_end.runs import TINY, final_files, kinrec

# stage -> what is there when its work is under way, and from then on
MOMENTS = {
    "pretrain": ("graph/checkpoints/*.pt",),
    "retrieve": ("neighbours/parts/train/*.parquet",),
    "finetune": ("llm/checkpoints/step-*/seal.json",),
    "generate": ("generated/parts/valid/*.parquet", "lists/llm_valid.parquet"),  # the parts end as the table
}
SMALL_BLOCKS = {"retrieve": "--retrieval.block=16"}


@pytest.fixture
def run_dir(tiny_run: Path, tmp_path: Path) -> Path:
    return shutil.copytree(tiny_run, tmp_path / "run")


def begin(run_dir: Path, stage: str, *, anew: bool = False) -> Started:
    """`kinrec STAGE` on its way."""
    if anew:
        (run_dir / "manifests" / f"{stage}.json").unlink()
        shutil.rmtree(run_dir / stage_named(stage).resumes[0], ignore_errors=True)
        for pattern in MOMENTS[stage]:
            for path in run_dir.glob(pattern):
                path.unlink()
    words = [word for word in [SMALL_BLOCKS.get(stage)] if word is not None]
    return Started(run_dir, stage, str(TINY), *words)


def count(run_dir: Path, stage: str) -> int:
    """How much of a stage's work is on the disk."""
    return sum(len(list(run_dir.glob(pattern))) for pattern in MOMENTS[stage])


@pytest.mark.slow
@pytest.mark.parametrize("stage", MOMENTS)
def test_stopped_stages_go_on_to_the_same_files(stage: str, run_dir: Path, tiny_run: Path) -> None:
    started = begin(run_dir, stage, anew=True)
    started.wait_for(lambda: count(run_dir, stage) > 0)
    started.send(signal.SIGUSR1, started.ranks())  # as SLURM does, which leaves the command alone
    assert started.end() == 75, started.output[-3000:]
    last = started.output.splitlines()[-1]
    assert last.startswith("kinrec: stopped at ")
    assert last.endswith(f" of {stage}; the same command resumes")
    assert (run_dir / "manifests" / f"{stage}.stopped.json").is_file()
    kept = count(run_dir, stage)
    assert kept > 0
    started = begin(run_dir, stage)
    started.wait_for(lambda: "resuming" in started.output)
    started.send(signal.SIGTERM)
    assert started.end() == 75, started.output[-3000:]
    ended = kinrec("run", str(TINY), f"--run_dir={run_dir}")
    assert ended.returncode == 0, ended.stderr[-3000:]
    assert final_files(run_dir) == final_files(tiny_run)
    assert not list(run_dir.glob("manifests/*.stopped.json"))
