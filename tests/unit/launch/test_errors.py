"""A user's mistake is one line and status 2; a fault of ours is a traceback; no file is left half-written."""

import errno
import os
from pathlib import Path

import pytest

from launch.artifacts import PARTIAL, atomic_file, atomic_folder, remove_partials
from launch.errors import InputError, first_line, one_line
from launch.stage import entry_point


def test_input_error_becomes_one_line() -> None:
    assert one_line(InputError("a\n  b")) == "a b"


def test_full_disk_is_the_users_to_mend() -> None:
    assert "no space left" in str(one_line(OSError(errno.ENOSPC, "No space left on device", "x.parquet")))
    assert "no space left" in str(one_line(RuntimeError("Io error: No space left on device (os error 28)")))


def test_cause_is_found_below_a_library_error() -> None:
    error = RuntimeError("could not write")
    error.__cause__ = OSError(errno.EFBIG, "File too large")
    assert "file-size limit" in str(one_line(error))


def test_first_line_is_the_beginning_of_what_was_said_or_the_errors_name() -> None:
    assert first_line(ValueError("\n a b\n c")) == "a b"
    assert first_line(ValueError("x" * 999)) == "x" * 200
    assert first_line(KeyError()) == "KeyError"


def test_our_fault_has_no_line() -> None:
    assert one_line(KeyError("x")) is None


def test_entry_point_ends_with_status_two(capsys: pytest.CaptureFixture[str]) -> None:
    def main(argv: list[str] | None = None) -> None:
        raise InputError("pair.path: no such folder; give another")

    with pytest.raises(SystemExit) as end:
        entry_point(main)([])
    assert end.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1] == "kinrec: error: pair.path: no such folder; give another"


def test_entry_point_lets_our_faults_through() -> None:
    def main(argv: list[str] | None = None) -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        entry_point(main)([])


def test_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old", encoding="utf-8")
    with pytest.raises(RuntimeError), atomic_file(path) as partial:
        partial.write_text("new", encoding="utf-8")
        raise RuntimeError
    assert path.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_folder_replaces_the_old_one_whole(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.mkdir()
    (path / "old").touch()
    with atomic_folder(path) as partial:
        (partial / "new").touch()
    assert [file.name for file in path.iterdir()] == ["new"]


def test_a_folder_is_there_whenever_its_writer_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a"
    path.mkdir()
    (path / "old").touch()
    rename = Path.replace

    def die_at_the_new_one(self: Path, target: Path) -> Path:
        if self.name.endswith(PARTIAL):
            os._exit(9)
        return rename(self, target)

    child = os.fork()
    if child == 0:
        monkeypatch.setattr(Path, "replace", die_at_the_new_one)
        with atomic_folder(path) as partial:
            (partial / "new").touch()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    remove_partials(tmp_path)  # as the next start does
    assert [file.relative_to(tmp_path).as_posix() for file in sorted(tmp_path.rglob("*"))] == ["a", "a/old"]
    former = tmp_path / ".a.12.abc.former"
    former.mkdir()
    remove_partials(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["a"], "its place is taken"


def test_what_a_killed_writer_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".a.txt.12.partial").touch()
    (tmp_path / ".b.13.partial").mkdir()
    (tmp_path / "c").touch()
    remove_partials(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["c"]
