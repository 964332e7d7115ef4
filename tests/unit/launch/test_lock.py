"""The lock of a run folder: one at work at a time, its processes included; nothing outside is ever touched."""

import fcntl
import json
import os
import threading
import time
from pathlib import Path

import pytest

from launch.errors import InputError
from launch.processes import lock
from launch.processes.lock import hold_lock, read_holder, share_lock
from launch.processes.orphans import Identity, is_alive, own_identity, parse_identity


def dead_process() -> Identity:
    """A process of this machine that has ended: its number is ours now."""
    return own_identity()._replace(start="1")


def write_record(path: Path, process: Identity) -> None:
    record = {"process": str(process), "host": "node7", "since": "2026-01-02 03:04:05", "command": "kinrec run demo"}
    path.write_text(json.dumps(record), encoding="utf-8")


def test_second_holder_is_told_who_the_first_is(tmp_path: Path) -> None:
    with hold_lock(tmp_path):
        with pytest.raises(InputError, match=rf"another kinrec \(pid {os.getpid()} on \S+ since 20[\d: -]+\)") as taken:
            hold_lock(tmp_path).__enter__()
        assert str(tmp_path) in str(taken.value)
    with hold_lock(tmp_path):
        pass  # free again


def test_holder_on_another_machine_is_believed(tmp_path: Path) -> None:
    with hold_lock(tmp_path):
        write_record(tmp_path / "lock", Identity(1, "1", "another-boot"))
        with pytest.raises(InputError, match="pid 1 on node7 since 2026-01-02 03:04:05"):
            hold_lock(tmp_path).__enter__()


def test_a_living_process_of_a_dead_command_keeps_others_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "PATIENCE_SECONDS", 0.2)
    with hold_lock(tmp_path):
        orphan = os.open(tmp_path / "lock", os.O_RDWR)
        fcntl.flock(orphan, fcntl.LOCK_SH | fcntl.LOCK_NB)  # as a rank does
    write_record(tmp_path / "lock", dead_process())
    with pytest.raises(InputError, match=r"processes of a kinrec that has ended .* are still at work"):
        hold_lock(tmp_path).__enter__()
    os.close(orphan)
    with hold_lock(tmp_path):
        pass


def test_nobody_shares_the_lock_of_a_dead_command(tmp_path: Path) -> None:
    with hold_lock(tmp_path):
        assert not share_lock(tmp_path / "lock", dead_process())


def test_holding_what_is_shared_takes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "_shared", set())
    with hold_lock(tmp_path):
        written = (tmp_path / "lock").read_text()
        assert share_lock(tmp_path / "lock", own_identity())
        with hold_lock(tmp_path):  # a stage whose process shares the command's lock
            assert (tmp_path / "lock").read_text() == written


def test_lock_file_says_who(tmp_path: Path) -> None:
    with hold_lock(tmp_path):
        holder = read_holder(tmp_path)
    assert holder is not None
    assert holder.process == own_identity()
    written = json.loads((tmp_path / "lock").read_text())
    assert set(written) == {"process", "host", "since", "command", "job", "restarts"}


def in_job(monkeypatch: pytest.MonkeyPatch, job: str, restarts: str) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", job)
    monkeypatch.setenv("SLURM_RESTART_COUNT", restarts)


def test_lock_file_says_which_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_job(monkeypatch, "77", "2")
    with hold_lock(tmp_path), pytest.raises(InputError, match=rf"pid {os.getpid()} on \S+, SLURM job 77, since 20"):
        hold_lock(tmp_path).__enter__()


def hold_elsewhere(run_dir: Path, job: str) -> int:
    """The lock as a node that is gone holds it, until its lease is over: close what is returned."""
    with hold_lock(run_dir):
        file = os.open(run_dir / "lock", os.O_RDWR)
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    write_record(run_dir / "lock", Identity(1, "1", "another-boot"))
    record = json.loads((run_dir / "lock").read_text()) | {"job": job, "restarts": 0}
    (run_dir / "lock").write_text(json.dumps(record), encoding="utf-8")
    return file


def test_a_job_that_is_started_again_waits_for_what_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    former = hold_elsewhere(tmp_path, "77")
    in_job(monkeypatch, "77", "1")
    threading.Timer(0.5, os.close, [former]).start()
    began = time.monotonic()
    with hold_lock(tmp_path):
        assert time.monotonic() - began >= 0.4


def test_that_wait_has_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "LEASE_SECONDS", 0.2)
    former = hold_elsewhere(tmp_path, "77")
    in_job(monkeypatch, "77", "1")
    with pytest.raises(InputError, match=r"\(pid 1 on node7, SLURM job 77, since .*\) are still at work"):
        hold_lock(tmp_path).__enter__()
    os.close(former)


@pytest.mark.parametrize(("job", "restarts"), [("78", "1"), ("77", "0")])
def test_another_job_does_not_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, job: str, restarts: str) -> None:
    former = hold_elsewhere(tmp_path, "77")
    in_job(monkeypatch, job, restarts)
    with pytest.raises(InputError, match=r"another kinrec .* is at work"):
        hold_lock(tmp_path).__enter__()
    os.close(former)


def test_a_process_elsewhere_shares_what_its_command_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "_shared", set())
    command = Identity(1, "1", "another-boot")
    with hold_lock(tmp_path):
        write_record(tmp_path / "lock", command)
        assert not share_lock(tmp_path / "lock", command)  # it is not of this machine
        assert not share_lock(tmp_path / "lock", command._replace(pid=2), elsewhere=True)
        assert share_lock(tmp_path / "lock", command, elsewhere=True)


@pytest.mark.parametrize("kind", ["symbolic", "hard", "dangling", "fifo", "folder"])
def test_a_lock_that_is_no_plain_file_is_refused_and_left_alone(tmp_path: Path, kind: str) -> None:
    outside = tmp_path / "precious.txt"
    outside.write_text("a user's words", encoding="utf-8")
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    path = run_dir / "lock"
    match kind:
        case "symbolic":
            path.symlink_to(outside)
        case "hard":
            path.hardlink_to(outside)
        case "dangling":
            path.symlink_to(tmp_path / "new.txt")
        case "fifo":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
    with pytest.raises(InputError, match=str(path)):
        hold_lock(run_dir).__enter__()
    assert outside.read_text() == "a user's words"
    assert not (tmp_path / "new.txt").exists()


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"process": 1}', '{"process": "x:y"}', "\0" * 50])
def test_a_torn_record_names_nobody(tmp_path: Path, content: str) -> None:
    (tmp_path / "lock").write_text(content, encoding="utf-8")
    assert read_holder(tmp_path) is None
    with hold_lock(tmp_path):
        (tmp_path / "lock").write_text(content, encoding="utf-8")
        with pytest.raises(InputError, match="another kinrec is at work in this folder; wait for it"):
            hold_lock(tmp_path).__enter__()


def test_a_file_system_without_locks_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(file: int, kind: int) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(InputError, match="No locks available"):
        hold_lock(tmp_path).__enter__()


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(InputError, match="cannot make this folder: Not a directory"):
        hold_lock(tmp_path / "file" / "run").__enter__()


def test_identity_is_a_process_for_ever() -> None:
    me = own_identity()
    assert parse_identity(str(me)) == me
    assert is_alive(me)
    assert not is_alive(me._replace(start="1"))  # the same number, used again
    assert not is_alive(me._replace(boot="another"))
