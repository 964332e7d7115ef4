"""Which of several failures was the first."""

from pathlib import Path

from launch.errors import InputError
from launch.watch.failures import first_failure, record_failure
from launch.watch.marks import clear
from tests.unit.launch.watch.beat_files import a_beat, write_beat


def fail(folder: Path, rank: int, error: Exception) -> None:
    """A rank raises `error` and writes it down."""
    try:
        raise error
    except Exception as raised:
        record_failure(raised, folder=folder, stage="finetune", rank=rank)


def test_first_error_is_shown_though_victims_wrote_before(tmp_path: Path) -> None:
    fail(tmp_path, 0, RuntimeError("[gloo/transport/tcp/pair.cc] Connection closed by peer [10.0.0.2]:1"))
    fail(tmp_path, 3, ZeroDivisionError("the cause"))
    fail(tmp_path, 2, KeyError("later"))
    failure = first_failure(tmp_path)
    assert failure is not None
    assert failure.line.startswith("rank 3 on ")
    assert failure.line.endswith("ZeroDivisionError: the cause")
    assert failure.text.rstrip().endswith("ZeroDivisionError: the cause")
    assert "ZeroDivisionError: the cause" in (tmp_path / "rank-3.log").read_text(encoding="utf-8")


def test_users_error_of_any_rank_keeps_its_line(tmp_path: Path) -> None:
    fail(tmp_path, 1, InputError("llm.lr is too high; lower it"))
    fail(tmp_path, 0, RuntimeError("Connection reset by peer"))
    failure = first_failure(tmp_path)
    assert failure is not None
    assert (failure.is_users, failure.line) == (True, "llm.lr is too high; lower it")


def test_killed_rank_is_named_where_only_victims_speak(tmp_path: Path) -> None:
    for rank in (0, 1):
        write_beat(tmp_path, a_beat(rank))
    fail(tmp_path, 0, RuntimeError("Connection closed by peer"))
    failure = first_failure(tmp_path)
    assert failure is not None
    assert failure.line.startswith("rank 1 on node2 (finetune, step 41 of 300) ended without an error of its own")


def test_nothing_of_an_earlier_start_is_left_but_the_logs(tmp_path: Path) -> None:
    fail(tmp_path, 0, RuntimeError("old"))
    clear(tmp_path)
    assert first_failure(tmp_path) is None
    assert [path.name for path in tmp_path.iterdir()] == ["rank-0.log"]


def test_files_of_strangers_do_no_harm(tmp_path: Path) -> None:
    (tmp_path / "rank-0.error").write_text('{"time": "x", "error": "\\u001b[31mred\\nline", "rank": [1]}')
    (tmp_path / "rank-1.error").write_text("[" * 100_000)
    failure = first_failure(tmp_path)
    assert failure is not None
    assert failure.line.isprintable()
