"""One at work in a run folder: commands and stages started by module keep each other out."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from launch.errors import InputError
from launch.processes import lock
from launch.processes.lock import hold_lock
from launch.processes.orphans import Identity, boot_id, is_alive, own_identity
from tests.end_to_end.runs import ROOT, TINY, kinrec

PREPARE = [sys.executable, "-m", "pairs.prepare", "--config", str(TINY)]


@pytest.mark.slow
def test_a_stage_started_by_module_waits_for_nobody(tmp_path: Path) -> None:
    with hold_lock(tmp_path):
        ended = subprocess.run(
            [*PREPARE, f"--run_dir={tmp_path}"], cwd=ROOT, capture_output=True, text=True, timeout=100, check=False
        )
    assert ended.returncode == 2
    assert ended.stderr.splitlines()[-1].startswith(f"kinrec: error: {tmp_path}: another kinrec (pid ")
    assert {path.name for path in tmp_path.iterdir()} == {"lock"}


@pytest.mark.slow
def test_a_command_is_refused_while_a_stage_started_by_module_runs(tmp_path: Path) -> None:
    hold = "--pair.synthetic.num_users=40000"  # long enough to be met
    stage = subprocess.Popen([*PREPARE, hold, f"--run_dir={tmp_path}"], cwd=ROOT, stderr=subprocess.DEVNULL)
    try:
        while not (tmp_path / "lock").is_file() or not (tmp_path / "lock").stat().st_size:
            assert stage.poll() is None
            time.sleep(0.02)
        (tmp_path / "recipe.yaml").write_text("name: tiny\n", encoding="utf-8")
        ended = kinrec("prepare", str(TINY), f"--run_dir={tmp_path}", timeout=60)
        assert stage.poll() is None, "the stage was too short to be met"
    finally:
        stage.kill()
        stage.wait()
    assert ended.returncode == 2
    assert f"another kinrec (pid {stage.pid} on " in ended.stderr


@pytest.mark.slow
def test_a_linked_lock_is_refused_in_one_line(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("a user's words", encoding="utf-8")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "lock").symlink_to(precious)
    ended = kinrec("prepare", str(TINY), f"--run_dir={tmp_path / 'run'}", timeout=60)
    assert ended.returncode == 2
    assert ended.stderr == f"kinrec: error: {tmp_path / 'run' / 'lock'}: the lock is a symbolic link; remove it\n"
    assert precious.read_text() == "a user's words"
    assert not (tmp_path / "run" / "recipe.yaml").exists()


@pytest.mark.slow
def test_a_linked_log_is_refused_in_one_line(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("a user's words", encoding="utf-8")
    logs = tmp_path / "run" / "logs"
    logs.mkdir(parents=True)
    (logs / "prepare.log").symlink_to(precious)
    (tmp_path / "run" / "recipe.yaml").write_text("name: tiny\n", encoding="utf-8")
    ended = kinrec("prepare", str(TINY), f"--run_dir={tmp_path / 'run'}", timeout=60)
    assert ended.returncode == 2
    assert ended.stderr.splitlines()[-1].startswith(f"kinrec: error: {logs / 'prepare.log'}: cannot open the log")
    assert precious.read_text() == "a user's words"


def test_shared_lock_outlasts_the_holder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "_shared", set())
    monkeypatch.setattr(lock, "PATIENCE_SECONDS", 0.2)
    program = (
        "import sys; from pathlib import Path;"
        "from launch.processes.lock import share_lock; from launch.processes.orphans import *;"
        "print(share_lock(Path(sys.argv[1]), parse_identity(sys.argv[2])), flush=True); sys.stdin.read()"
    )
    with hold_lock(tmp_path):
        words = [sys.executable, "-c", program, str(tmp_path / "lock"), str(own_identity())]
        rank = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert rank.stdout is not None
        assert rank.stdout.readline() == "True\n"
    with pytest.raises(InputError, match="at work"):
        hold_lock(tmp_path).__enter__()
    rank.communicate()
    with hold_lock(tmp_path):
        pass


def test_a_process_that_has_ended_and_is_not_collected_is_dead() -> None:
    waiting = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    state = Path(f"/proc/{waiting.pid}/stat").read_text().rpartition(")")[2].split()
    child = Identity(waiting.pid, state[19], boot_id())
    assert is_alive(child)
    waiting.kill()
    os.waitid(os.P_PID, waiting.pid, os.WEXITED | os.WNOWAIT)
    assert not is_alive(child)  # ended, not yet collected
    waiting.communicate()
