"""Two real ranks of the doctor's, on a machine with a planted fault."""

import os
import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from launch.config import LaunchConfig
from launch.doctor.diagnoses import Diagnosis
from launch.doctor.ranks import check_ranks, read_ranks
from launch.processes.children import run_child

TWO = LaunchConfig(processes=2, threads=1)
NO_RECIPE = Path("none")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> str:
    library = tmp_path_factory.mktemp("shim") / "shim.so"
    source = Path(__file__).with_name("shim.c")
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    return str(library)


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "fixed"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "none", folder], check=True)
    yield folder
    subprocess.run(["umount", folder], check=True)


def not_well(diagnoses: Iterator[Diagnosis]) -> list[Diagnosis]:
    """What fails; a warning may come of what else works on this machine."""
    return [diagnosis for diagnosis in diagnoses if diagnosis.level == "fail"]


def examined(run_dir: Path) -> Diagnosis:
    (diagnosis,) = not_well(check_ranks(TWO, NO_RECIPE, run_dir, seconds=120))
    return diagnosis


def test_ranks_of_a_healthy_machine_pass_and_leave_nothing(tmp_path: Path) -> None:
    checks = [
        diagnosis.check for diagnosis in check_ranks(TWO, NO_RECIPE, tmp_path, seconds=120) if diagnosis.level != "fail"
    ]
    names = ("ranks", "all-reduce", "clocks", "run folder", "locks", "file times")
    assert checks == list(names)
    assert list(tmp_path.iterdir()) == []


@needs_root
def test_a_run_folder_that_is_read_only_fails(read_only: Path) -> None:
    diagnosis = examined(read_only)
    assert (diagnosis.level, diagnosis.check) == ("fail", "run folder")
    assert "cannot write: Read-only file system" in diagnosis.text


@needs_root
def test_a_run_folder_that_is_not_shared_fails(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    rank = f"{shlex.quote(sys.executable)} -m launch.doctor.rank_probe --run_dir {shlex.quote(str(tmp_path))}"
    other_disk = f"unshare -m sh -c {shlex.quote(f'mount -t tmpfs none {shlex.quote(str(tmp_path))} && exec {rank}')}"
    both = (
        f"export WORLD_SIZE=2 MASTER_ADDR=127.0.0.1 MASTER_PORT={port}; RANK=0 LOCAL_RANK=0 {rank} & "
        f"RANK=1 LOCAL_RANK=1 {other_disk}; wait"
    )
    outcome = run_child(["sh", "-c", both], seconds=120)
    diagnosis = not_well(read_ranks(outcome, size=2, node_gpus=0))[0]
    assert (diagnosis.level, diagnosis.check) == ("fail", "run folder")
    assert "does not see what rank" in diagnosis.text


def test_a_file_system_without_locks_fails(tmp_path: Path, shim: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LD_PRELOAD", shim)
    monkeypatch.setenv("NO_LOCKS", "ENOLCK")
    diagnosis = examined(tmp_path)
    assert (diagnosis.level, diagnosis.check) == ("fail", "locks")
    assert "No locks available" in diagnosis.text


def test_locks_that_others_do_not_see_and_a_clock_that_is_ahead_fail(
    tmp_path: Path, shim: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"LD_PRELOAD": shim, "NO_LOCKS": "LOCAL", "AHEAD": "500", "AHEAD_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    clocks, locks, times = not_well(check_ranks(TWO, NO_RECIPE, tmp_path, seconds=120))
    assert (clocks.check, locks.check, times.check) == ("clocks", "locks", "file times")
    assert re.match(r"ranks differ by (499\.[5-9]|500\.)", clocks.text)
    assert "does not keep this rank out" in locks.text


def test_a_rank_that_never_comes_is_named_at_the_time_out() -> None:
    alone = ["env", "RANK=0", "WORLD_SIZE=2", "LOCAL_RANK=0", "MASTER_ADDR=127.0.0.1", "MASTER_PORT=0"]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        alone[-1] = f"MASTER_PORT={free.getsockname()[1]}"
    words = [*alone, sys.executable, "-m", "launch.doctor.rank_probe", "--run_dir", "none"]
    outcome = run_child(words, seconds=15)
    (diagnosis,) = not_well(read_ranks(outcome, size=2, node_gpus=0))
    assert diagnosis.level == "fail"
    assert diagnosis.text.startswith(
        f"2 of 2 ranks have not met the others (rank 0 on {socket.gethostname()}, 1): no answer"
    )
