"""kill -9 during every stage, then the same command again: the same final files as without a kill."""

from pathlib import Path

import pytest

from tests.end_to_end.runs import TINY, final_files, kill_during, kinrec

# stage -> what must be there before the kill: resume state where the stage has some
MOMENTS = {
    "prepare": "logs/prepare.log",
    "pretrain": "graph/checkpoints/*.pt",
    "retrieve": "neighbours/parts/*",
    "tokenize": "logs/tokenize.log",
    "finetune": "llm/checkpoints/*",
    "generate": "generated/parts/*",
    "evaluate": "logs/evaluate.log",
}


@pytest.mark.slow
def test_killed_in_every_stage_gives_the_same_files(tiny_run: Path, tmp_path: Path) -> None:
    killed = tmp_path / "run"
    words = ("run", str(TINY), f"--run_dir={killed}")
    for stage, moment in MOMENTS.items():
        kill_during(stage, *words, wait_for=moment, run_dir=killed)
    ended = kinrec(*words)
    assert ended.returncode == 0, ended.stderr[-3000:]
    expected, left = final_files(tiny_run), final_files(killed)
    assert set(left) == set(expected)
    assert {name for name in expected if left[name] != expected[name]} == set()


@pytest.mark.slow
def test_second_run_skips_every_stage(tiny_run: Path) -> None:
    again = kinrec("run", str(TINY), f"--run_dir={tiny_run}", timeout=60)
    assert again.returncode == 0
    assert again.stderr.count("still holds, skipped") == 7
