"""Checkpoints: the latest whole one is taken, damaged ones are said and passed over, no code of a file ever runs."""

import logging
import pickle
from pathlib import Path

import pytest
import torch

from launch.artifacts import read_json, write_json
from launch.checkpoints import list_checkpoints, load_checkpoint, save_checkpoint
from launch.seals import seal_files
from tests.graph_runs import ALONE


class Spring:
    """What a pickle can do to whoever loads it."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return (open, (str(self.trace), "w"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Checkpoints of steps 10, 20, 30, of which the latest two are kept."""
    for step in (10, 20, 30):
        save_checkpoint(tmp_path, step, state(step))
    return tmp_path


def state(step: int) -> dict[str, object]:
    return {"objective": {"w": torch.full((500,), float(step))}, "optimizer": {"moment": torch.ones(500) * step}}


def resumed_step(folder: Path) -> int | None:
    loaded = load_checkpoint(folder, ALONE)
    if loaded is None:
        return None
    assert float(loaded[1]["optimizer"]["moment"][3]) == loaded[0]
    return loaded[0]


def test_the_latest_two_are_kept_with_their_seals(folder: Path) -> None:
    assert [path.name for path in list_checkpoints(folder)] == ["step-000000020.pt", "step-000000030.pt"]
    assert sorted(path.name for path in folder.glob("*.json")) == ["step-000000020.json", "step-000000030.json"]
    assert resumed_step(folder) == 30


@pytest.mark.parametrize("place", [0.3, 0.7, 0.9])
def test_a_flipped_byte_is_found_and_the_one_before_is_taken(
    folder: Path, caplog: pytest.LogCaptureFixture, place: float
) -> None:
    last = folder / "step-000000030.pt"
    content = bytearray(last.read_bytes())
    content[int(place * len(content))] ^= 1
    last.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        assert resumed_step(folder) == 20
    assert [record.getMessage() for record in caplog.records] == [
        f"{last}: damaged (step-000000030.pt has other content than was written); going back to the one before it"
    ]


@pytest.mark.parametrize("kept", [0, 1, 1000])
def test_a_torn_checkpoint_falls_back_to_the_one_before(folder: Path, kept: int) -> None:
    last = folder / "step-000000030.pt"
    last.write_bytes(last.read_bytes()[:kept])
    assert resumed_step(folder) == 20


@pytest.mark.parametrize("content", ["", "{", "[]", '{"files": 3}', '{"files": {"step-000000030.pt": 1}}'])
def test_a_damaged_seal_is_no_traceback(folder: Path, content: str) -> None:
    (folder / "step-000000030.json").write_text(content)
    assert resumed_step(folder) == 20


def test_a_checkpoint_of_which_the_seal_was_not_yet_written_is_passed_over(folder: Path) -> None:
    (folder / "step-000000030.json").unlink()
    assert resumed_step(folder) == 20


def test_nothing_whole_is_a_start_from_the_beginning(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    for path in list_checkpoints(folder):
        path.write_bytes(b"")
    with caplog.at_level(logging.WARNING):
        assert resumed_step(folder) is None
    assert "training starts from the beginning" in caplog.text


def test_a_checkpoint_that_was_passed_over_goes_with_the_next_save(folder: Path) -> None:
    (folder / "step-000000030.pt").write_bytes(b"")
    assert resumed_step(folder) == 20
    save_checkpoint(folder, 25, state(25))
    assert [path.name for path in list_checkpoints(folder)] == ["step-000000020.pt", "step-000000025.pt"]
    assert resumed_step(folder) == 25


def test_code_in_a_checkpoint_with_a_fitting_seal_does_not_run(folder: Path) -> None:
    last = folder / "step-000000030.pt"
    torch.save({"objective": Spring(folder / "sprung")}, last)
    write_json(last.with_suffix(".json"), seal_files(folder, [last.name], key=None))
    assert read_json(last.with_suffix(".json"))["files"]
    with pytest.raises(pickle.UnpicklingError, match="Weights only load failed"):
        load_checkpoint(folder, ALONE)
    assert not (folder / "sprung").exists()
