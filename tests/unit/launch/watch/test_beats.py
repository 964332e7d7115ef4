"""A long piece of work says how long it took; a short one says nothing."""

import logging

import pytest

from launch.watch import beats
from launch.watch.beats import HERE, long


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
