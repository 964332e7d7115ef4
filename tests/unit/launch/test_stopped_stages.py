"""A stage that was told to stop is said to be stopped, not to have failed."""

import logging
from pathlib import Path

import pytest

from launch.config import LaunchConfig
from launch.pipeline import run_stage
from launch.processes import starter
from launch.processes.signals import STOPPED_STATUS, note_stop
from launch.stages import stage_named
from launch.stopping import Stopped, stopped_path

EVALUATE = stage_named("evaluate")


def ended(run_dir: Path, monkeypatch: pytest.MonkeyPatch, *, status: int, where: str | None) -> str:
    """Run a stage whose process writes down that it was stopped `where`, and ends with `status`; how that is said."""

    def run(*_: object) -> tuple[int, None]:
        note_stop(stopped_path(run_dir, EVALUATE), where=where)
        return status, None

    monkeypatch.setattr(starter, "_run", run)
    with pytest.raises(Stopped) as stopped:
        run_stage(EVALUATE, run_dir / "recipe.yaml", run_dir, LaunchConfig(), None)
    return str(stopped.value)


def test_stage_that_had_nothing_to_save_has_not_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    said = ended(tmp_path, monkeypatch, status=STOPPED_STATUS, where=None)
    assert said == "the start of evaluate"
    assert "failed" not in caplog.text
    assert "traceback" not in caplog.text


def test_failure_after_a_stop_that_was_saved_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    said = ended(tmp_path, monkeypatch, status=1, where="step 12")
    assert said == "step 12 of evaluate"
    assert "evaluate failed with status 1" in caplog.text
