"""A rank that is stopped, or hangs, is named within the time-out, and nobody is left behind."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from launch.watch.marks import Beat, read_beats, watch_folder
from tests.end_to_end.runs import ROOT, processes_of

STEP_SECONDS = 8.0
SLACK_SECONDS = 15.0
"""What ending may take after the time-out, on an idle machine."""
ENDLESS = {
    "pretrain": ["--graph.schedule.epochs=10000", "--graph.schedule.patience=10000"],
    "finetune": ["--llm.max_steps=1000000", "--llm.eval_every=1000", "--llm.checkpoint_every=1000"],
}


def before_each(method: str, code: str) -> str:
    """What has rank 1 do `code` before each call of a method of the graph's trainer; `value` is its argument."""
    return f"""
import os, subprocess, sys, threading, time

def plant():
    while not hasattr(sys.modules.get("graph.training"), "Trainer"):
        time.sleep(0.01)
    trainer = sys.modules["graph.training"].Trainer
    whole = trainer.{method}
    def {method}(self, value):
        {code}
        whole(self, value)
    trainer.{method} = {method}

if os.environ.get("RANK") == "1":
    threading.Thread(target=plant, daemon=True).start()
"""


HANG_IN_A_STEP = before_each("step", "if value == 5: time.sleep(3600)")
HANG_IN_AN_IMPORT = """
import os, sys, time

class Slow:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "torch":
            time.sleep(3600)

if os.environ.get("RANK") == "1":
    sys.meta_path.insert(0, Slow)
"""


def start_stage(
    tiny_run: Path, run_dir: Path, stage: str, *words: str, environment: Mapping[str, str] | None = None
) -> "subprocess.Popen[str]":
    """`kinrec STAGE` over a copy of a finished run, on two ranks."""
    shutil.copytree(tiny_run, run_dir, ignore=shutil.ignore_patterns("logs"))
    return subprocess.Popen(
        [sys.executable, "-m", "launch.cli", stage, str(run_dir / "recipe.yaml"), *ENDLESS[stage], *words],
        cwd=ROOT,
        env={**os.environ, **(environment or {})},
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_step(
    run_dir: Path, stage: str, step: int, process: "subprocess.Popen[str]", *, phase: str | None = None
) -> dict[int, Beat]:
    """The beats of a stage once both of its ranks have done `step` steps, and are in `phase`; None: in a step."""
    deadline = time.monotonic() + 240
    while True:
        beats = read_beats(watch_folder(run_dir, stage))
        if len(beats) == 2 and all(
            (beat.step or 0) >= step and beat.phase == (phase or stage) for beat in beats.values()
        ):
            return beats
        assert process.poll() is None, process.communicate()[1][-4000:]
        assert time.monotonic() < deadline, beats
        time.sleep(0.05)


def wait_until_over(process: "subprocess.Popen[str]", run_dir: Path, *, seconds: float) -> str:
    """What the command showed; it has failed within `seconds` and nothing of it is left."""
    started = time.monotonic()
    _, shown = process.communicate(timeout=300)
    assert process.returncode == 1, shown[-4000:]
    assert time.monotonic() - started < seconds, shown[-4000:]
    assert processes_of(run_dir) == []
    return shown


@pytest.mark.parametrize("stage", ["pretrain", "finetune"])
def test_stopped_rank_is_named(stage: str, tiny_run: Path, tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    process = start_stage(tiny_run, run_dir, stage, f"--launch.step_timeout={STEP_SECONDS}")
    beats = wait_for_step(run_dir, stage, 3, process)
    os.kill(beats[1].pid, signal.SIGSTOP)
    shown = wait_until_over(process, run_dir, seconds=STEP_SECONDS + SLACK_SECONDS)
    last = shown.rstrip().splitlines()[-1]
    assert re.search(rf"{stage}.*: rank 1 on \S+ gives no sign of life since .*\({stage}, step \d+ of \d+\)", last), (
        last
    )
    log = (run_dir / "logs" / f"{stage}.log").read_text(encoding="utf-8")
    assert "rank 1 on" in log.rstrip().splitlines()[-1]
    stack = (watch_folder(run_dir, stage) / "rank-0.stack").read_text(encoding="utf-8")
    assert "most recent call first" in stack
    assert "in learn" in stack


def test_rank_that_hangs_in_its_own_code_is_named(tiny_run: Path, tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    shown = _hang(HANG_IN_A_STEP, tiny_run, tmp_path, f"--launch.step_timeout={STEP_SECONDS}")
    last = shown.rstrip().splitlines()[-1]
    assert re.search(r"rank 1 on \S+ stands still for \d+ s in its own code.*\(pretrain, step 5 of \d+\)", last), last
    folder = watch_folder(run_dir, "pretrain")
    assert "in step" in (folder / "rank-1.stack").read_text(encoding="utf-8")
    assert (folder / "rank-0.flight").is_file()


def test_import_that_hangs_meets_the_start_timeout(tiny_run: Path, tmp_path: Path) -> None:
    shown = _hang(HANG_IN_AN_IMPORT, tiny_run, tmp_path, "--launch.start_timeout=30")
    last = shown.rstrip().splitlines()[-1]
    assert re.search(r"rank 1 on \S+ stands still for \d+ s in its own code.*\(imports\)", last), last


def test_slow_but_moving_stage_is_not_ended(tiny_run: Path, tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    code = HANG_IN_A_STEP.replace("if value == 5:", "if value < 3:").replace("3600", "4")
    process = start_stage(
        tiny_run, run_dir, "pretrain", "--launch.step_timeout=6", environment=_planted(code, tmp_path)
    )
    try:
        wait_for_step(run_dir, "pretrain", 5, process)
    finally:
        process.terminate()
        process.communicate()
    assert not (watch_folder(run_dir, "pretrain") / "timeout").exists()


def test_first_failing_ranks_own_error_is_shown_last(tiny_run: Path, tmp_path: Path) -> None:
    code = HANG_IN_A_STEP.replace("time.sleep(3600)", "raise ZeroDivisionError('planted')")
    shown = _hang(code, tiny_run, tmp_path)
    last = shown.rstrip().splitlines()[-1]
    assert re.search(r"kinrec: pretrain failed: rank 1 on \S+: ZeroDivisionError: planted", last), last
    folder = watch_folder(tmp_path / "run", "pretrain")
    assert "ZeroDivisionError: planted" in (folder / "rank-1.log").read_text(encoding="utf-8")


def _hang(code: str, tiny_run: Path, tmp_path: Path, *words: str) -> str:
    run_dir = tmp_path / "run"
    process = start_stage(tiny_run, run_dir, "pretrain", *words, environment=_planted(code, tmp_path))
    return wait_until_over(process, run_dir, seconds=240)


def _planted(code: str, tmp_path: Path) -> dict[str, str]:
    """An environment in which every Python runs `code` first."""
    folder = tmp_path / "planted"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(code, encoding="utf-8")
    return {"PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])}
