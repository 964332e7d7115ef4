"""A disk that fills, or a file's limit, is one line whichever library writes; so is each error of the file system."""

import errno
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from launch.errors import USER_ERRNOS, one_line
from tests.unit.launch.disk_writers import WRITERS


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("only the superuser may mount a small file system to fill")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def said_in(folder: Path, limit: str) -> dict[str, str]:
    ended = subprocess.run(
        [sys.executable, "-m", "tests.unit.launch.disk_writers", str(folder), limit],
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr[-2000:]
    said: dict[str, str] = json.loads(ended.stdout.splitlines()[-1])
    assert set(said) == set(WRITERS)
    return said


@pytest.mark.slow
def test_a_full_disk_is_one_line_whichever_library_writes(full_disk: Path) -> None:
    said = said_in(full_disk, "unlimited")
    assert {name: line for name, line in said.items() if "no space left on the device" not in line} == {}


def test_a_disk_with_no_byte_left_is_one_line_for_a_small_checkpoint_too(full_disk: Path) -> None:
    """What fits torch's own buffer fails when that is emptied, in other words."""
    with pytest.raises(OSError, match="No space left"):
        (full_disk / "filler").write_bytes(bytes(1 << 17))
    with pytest.raises(RuntimeError) as raised:
        torch.save({"step": torch.zeros(10)}, full_disk / "step.pt")
    assert "no space left on the device" in str(one_line(raised.value))


@pytest.mark.slow
def test_a_files_limit_is_one_line_whichever_library_writes(tmp_path: Path) -> None:
    said = said_in(tmp_path, "limited")
    other = {name: line for name, line in said.items() if "the file-size limit was reached" not in line}
    assert set(other) <= {"npy", "torch"}, "NumPy and torch do not say which of the two it was"
    assert all("no space left on the device" in line for line in other.values())


def test_a_read_only_file_system_is_one_line(full_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(full_disk)], check=True)
    with pytest.raises(OSError, match="Read-only") as raised:
        (full_disk / "file").touch()
    assert "the file system is read-only" in str(one_line(raised.value))


def circle(folder: Path) -> None:
    (folder / "a").symlink_to(folder / "b")
    (folder / "b").symlink_to(folder / "a")
    (folder / "a").read_bytes()


def below_a_file(folder: Path) -> None:
    (folder / "file").touch()
    (folder / "file" / "inner").mkdir(parents=True)


def many_files(folder: Path) -> None:
    opened = []
    try:
        for number in range(1 << 20):
            opened.append((folder / "file").open("w" if not number else "r"))
    finally:
        for file in opened:
            file.close()


@pytest.mark.parametrize(
    ("number", "cause"),
    [
        (errno.EISDIR, lambda folder: folder.read_bytes()),
        (errno.ENOTDIR, below_a_file),
        (errno.ELOOP, circle),
        (errno.ENAMETOOLONG, lambda folder: (folder / ("a" * 300)).touch()),
    ],
    ids=lambda value: errno.errorcode[value] if isinstance(value, int) else "",
)
def test_an_error_of_the_file_system_is_one_line(number: int, cause: Callable[[Path], object], tmp_path: Path) -> None:
    with pytest.raises(OSError, match=rf"\[Errno {number}\]") as raised:
        cause(tmp_path)
    line = one_line(raised.value)
    assert line is not None
    assert USER_ERRNOS[number] in line


def test_too_many_open_files_is_one_line(tmp_path: Path) -> None:
    import resource

    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, limits[1]))
    try:
        with pytest.raises(OSError, match="Too many open files") as raised:
            many_files(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert "too many open files; raise the limit" in str(one_line(raised.value))
