"""A long piece of work says how long it took, and may take it; a wait for others in it may not."""

import logging
from pathlib import Path

import pytest

from launch.watch import beats, watchdog
from launch.watch.beats import HERE, Whereabouts, long, meeting
from launch.watch.task import Task
from launch.watch.watchdog import Watchdog


@pytest.mark.parametrize(("limit", "lines"), [(0.0, 1), (60.0, 0)])
def test_only_what_was_long_is_told(
    limit: float, lines: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(beats, "LONG_SECONDS", limit)
    before = HERE.phase
    with caplog.at_level(logging.INFO, logger="launch.watch.beats"), pytest.raises(KeyError), long("tables"):
        assert HERE.phase == "tables"
        raise KeyError
    assert HERE.phase == before
    assert [record.getMessage() for record in caplog.records] == ["tables: 0 s"] * lines


def test_who_waits_for_others_within_long_work_has_the_shorter_timeout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = Whereabouts(begun=True)
    for module in (beats, watchdog):
        monkeypatch.setattr(module, "HERE", here)
    dog = Watchdog(Task("pretrain", str(tmp_path), start=600.0, step=8.0))
    limits = [dog.present_limit()]
    with long("checkpoint"):
        limits.append(dog.present_limit())
        moves = here.moves
        with meeting():
            assert here.moves > moves  # what was measured by the longer time-out is over
            limits.append(dog.present_limit())
        limits.append(dog.present_limit())
    assert limits == [8.0, 600.0, 8.0, 600.0]
    assert dog.present_limit() == 8.0
