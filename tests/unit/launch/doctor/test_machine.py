"""Faults of a machine, planted for real: a taken port, a full disk, no compiler, too little memory."""

import os
import socket
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from launch.doctor.machine import check_compiler, check_disk, check_memory, check_port
from launch.plan.control_groups import available_memory

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", folder], check=True)
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_taken_port_fails_and_a_free_one_passes() -> None:
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        port = taken.getsockname()[1]
        diagnosis = check_port(port, "main_process_port")
    assert (diagnosis.level, diagnosis.check) == ("fail", "port")
    assert f"{port} (main_process_port)" in diagnosis.text
    assert f"sport = :{port}" in diagnosis.cure
    assert check_port(port, "main_process_port").level == "pass"


@needs_root
def test_a_small_disk_fails(small_disk: Path) -> None:
    (diagnosis,) = check_disk(small_disk / "runs" / "demo")  # neither is made yet
    assert diagnosis.level == "fail"
    assert f"0.0 GiB free at {small_disk}, 1.0 needed" in diagnosis.text


def test_a_disk_below_the_plan_fails(tmp_path: Path) -> None:
    assert [diagnosis.level for diagnosis in check_disk(tmp_path, 2**20)] == ["pass"]
    (diagnosis,) = check_disk(tmp_path, 2**60)
    assert diagnosis.level == "fail"
    assert "1073741824.0 needed" in diagnosis.text


def test_memory_below_the_plan_fails() -> None:
    assert 2**28 < available_memory() < 2**45
    assert [diagnosis.level for diagnosis in check_memory(2**20)] == ["pass"]
    (diagnosis,) = check_memory(2**50)
    assert diagnosis.level == "fail"
    assert "of the 1048576.0 that the plan needs" in diagnosis.text


def test_without_a_compiler_compiled_operations_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", str(tmp_path / "no-such-compiler"))
    (diagnosis,) = check_compiler("DeepSpeedCPUAdam", cuda=None)
    assert diagnosis.level == "fail"
    assert diagnosis.text.endswith("not found")


def test_a_compiler_that_fails_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiler = tmp_path / "g++"
    compiler.write_text("#!/bin/sh\necho 'cannot find -lgomp' >&2\nexit 1\n", encoding="utf-8")
    compiler.chmod(stat.S_IRWXU)
    monkeypatch.setenv("CXX", str(compiler))
    (diagnosis,) = check_compiler("DeepSpeedCPUAdam", cuda=None)
    assert "cannot find -lgomp" in diagnosis.text


def test_a_compiler_passes_and_without_ninja_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CXX", raising=False)
    (tmp_path / "ninja").write_text("#!/bin/sh\n", encoding="utf-8")
    (tmp_path / "ninja").chmod(stat.S_IRWXU)
    path = os.environ["PATH"]
    monkeypatch.setenv("PATH", f"{tmp_path}:{path}")
    assert [diagnosis.level for diagnosis in check_compiler("DeepSpeedCPUAdam", cuda=None)] == ["pass"]
    (tmp_path / "ninja").unlink()
    for name in ("g++", "as", "ld"):
        there = next(Path(folder) / name for folder in path.split(":") if (Path(folder) / name).exists())
        (tmp_path / name).symlink_to(there)
    monkeypatch.setenv("PATH", str(tmp_path))
    (diagnosis,) = check_compiler("DeepSpeedCPUAdam", cuda=None)
    assert "needs ninja" in diagnosis.text


def test_another_cuda_than_torchs_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nvcc = tmp_path / "bin" / "nvcc"
    nvcc.parent.mkdir()
    nvcc.write_text("#!/bin/sh\necho 'Cuda compilation tools, release 11.8, V11.8.89'\n", encoding="utf-8")
    nvcc.chmod(stat.S_IRWXU)
    (tmp_path / "bin" / "ninja").symlink_to("/bin/true")
    monkeypatch.setenv("CUDA_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    (diagnosis,) = check_compiler("DeepSpeedCPUAdam", cuda="13.0")
    assert diagnosis.level == "fail"
    assert "is of CUDA 11.8, torch of 13.0" in diagnosis.text
