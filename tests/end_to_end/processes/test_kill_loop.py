"""The loop of kills in small: a few random moments, then the same command: the same files, nobody left."""

import shutil
from pathlib import Path

import pytest

from tests.end_to_end.processes.kill_loop import kill_once, make_plans
from tests.end_to_end.runs import TINY, final_files, kinrec


@pytest.mark.slow
def test_random_kills_leave_nobody_and_the_same_files(tiny_run: Path, tmp_path: Path) -> None:
    killed = shutil.copytree(tiny_run, tmp_path / "run")
    temporary = tmp_path / "system"
    temporary.mkdir()
    for plan in make_plans(4, seed=1, whole=tiny_run):
        kill_once(plan, killed, recipe=TINY, temporary=temporary)
    ended = kinrec("run", str(TINY), f"--run_dir={killed}")
    assert ended.returncode == 0, ended.stderr[-3000:]
    assert final_files(killed) == final_files(tiny_run)


@pytest.mark.slow
@pytest.mark.parametrize("kills", [8, 40])
def test_plans_cover_stages_victims_and_signals(tiny_run: Path, kills: int) -> None:
    plans = make_plans(kills, seed=1, whole=tiny_run)
    assert len({plan.stage.name for plan in plans}) == 7
    assert len({(plan.victim, plan.signal) for plan in plans}) == 8
